/* The entry point of all scripts. Each module adds its event listeners when it is imported. The listeners also work for
   elements that htmx adds or replaces later. */
import "./live/fragments.js";
import "./live/connection-status.js";
import "./live/price-changes.js";
import "./live/ticket-alerts.js";
import "./countdown.js";
import "./forms/chips.js";
import "./forms/feedback.js";
import "./forms/filters.js";
import "./forms/passkeys.js";
import "./forms/progress.js";
import "./forms/search.js";
import "./forms/show-more.js";
import "./print.js";
import "./restored-page.js";
import "./sell/price-summary.js";
import "./sell/time-zone.js";
import "./sell/picture.js";
import "./sell/draft.js";
