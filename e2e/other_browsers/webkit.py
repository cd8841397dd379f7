"""A window of WebKitGTK without anything around the page, for WebKitWebDriver, which starts it.

The driver can't read the console of pages, and WebKit's own MiniBrowser neither reports it nor can be
narrower than its toolbar. Debian's Python runs this file, because the bindings are Debian packages:
`python3 webkit.py FOLDER` writes all errors of pages to the file `errors` of the folder, one per line.
"""

import json
import sys
from pathlib import Path
from typing import Any

import gi  # type: ignore[import-not-found, unused-ignore]

gi.require_version("Gtk", "3.0")
gi.require_version("WebKit2", "4.1")
from gi.repository import Gtk, WebKit2  # type: ignore[import-not-found, unused-ignore] # noqa: E402

REPORT = """
const report = (text) => webkit.messageHandlers.errors.postMessage(String(text));
const write = console.error;
console.error = (...values) => { report(values.join(" ")); write.apply(console, values); };
addEventListener("error", ({message}) => report(message));
addEventListener("unhandledrejection", ({reason}) => report(reason));
addEventListener("securitypolicyviolation", ({effectiveDirective, blockedURI}) =>
    report(`Content-Security-Policy: ${effectiveDirective} blocked ${blockedURI}`));
"""
"""Runs before the scripts of each page."""


def reporter(errors: Path) -> Any:
    """Writes what pages report to a file."""

    def write(_: object, result: Any) -> None:
        with errors.open("a") as lines:
            lines.write(json.dumps(result.get_js_value().to_string()) + "\n")

    manager = WebKit2.UserContentManager()
    manager.connect("script-message-received::errors", write)
    manager.register_script_message_handler("errors")
    frames, time = WebKit2.UserContentInjectedFrames.ALL_FRAMES, WebKit2.UserScriptInjectionTime.START
    manager.add_script(WebKit2.UserScript.new(f"{{{REPORT}}}", frames, time, None, None))
    return manager


def main(folder: Path) -> None:
    context = WebKit2.WebContext.new_ephemeral()
    context.set_automation_allowed(True)
    view = WebKit2.WebView(
        web_context=context,
        user_content_manager=reporter(folder / "errors"),
        is_controlled_by_automation=True,
    )
    context.connect(
        "automation-started", lambda _, session: session.connect("create-web-view", lambda _: view)
    )
    Gtk.Settings.get_default().set_property("gtk-enable-animations", False)  # pages see: reduced motion
    window = Gtk.Window(default_width=1280, default_height=900)
    window.connect("destroy", Gtk.main_quit)
    window.add(view)
    window.show_all()
    Gtk.main()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
