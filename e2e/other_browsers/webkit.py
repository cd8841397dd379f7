"""A window of WebKitGTK without anything around the page, for WebKitWebDriver, which starts it.

WebKit's own MiniBrowser can't be narrower than its toolbar, and while it is controlled by a driver its session
is private, in which WebKit doesn't report what pages write to the console. Debian's Python runs this file,
because the bindings are Debian packages: `python3 webkit.py FOLDER` keeps all data in the folder, and writes
the console to its file `console`.
"""

import os
import sys
from pathlib import Path

import gi  # type: ignore[import-not-found, unused-ignore]

gi.require_version("Gtk", "3.0")
gi.require_version("WebKit2", "4.1")
from gi.repository import Gtk, WebKit2  # type: ignore[import-not-found, unused-ignore] # noqa: E402


def main(folder: Path) -> None:
    with (folder / "console").open("ab") as console:
        # The processes of pages write the console. They inherit this.
        os.dup2(console.fileno(), sys.stdout.fileno())
    data = str(folder / "data")
    storage = WebKit2.WebsiteDataManager(base_data_directory=data, base_cache_directory=data)
    context = WebKit2.WebContext(website_data_manager=storage)
    context.set_automation_allowed(True)
    settings = WebKit2.Settings(enable_write_console_messages_to_stdout=True)
    view = WebKit2.WebView(web_context=context, settings=settings, is_controlled_by_automation=True)
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
