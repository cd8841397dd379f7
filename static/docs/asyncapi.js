const events = document.getElementById("events");

AsyncApiStandalone.render(
  {
    schema: { url: events.dataset.document },
    config: { show: { sidebar: true, errors: true }, expand: { messageExamples: false } },
  },
  events,
);
