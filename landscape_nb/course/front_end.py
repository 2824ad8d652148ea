"""What a click asks of the page around the buttons: save the open notebook, or load it again.

A kernel cannot see what is typed but not saved; the page can save it. Nothing of JupyterLab's own
programming is used, only what a learner has too: the keys Ctrl+S and the entry in the File menu.
A page that does not know them (VS Code, Colab, or one that forbids scripts) leaves the words.

A page answers by clicking one of a few buttons that nobody sees.
"""

from collections.abc import Callable, Mapping

from ipywidgets import HTML, Button, Layout, VBox

from landscape_nb.widgets.pictured import hidden_style

_ROOT = "const root = this.closest('.ln-work');"
_ANSWER = """
const answer = name => document.querySelector('.ln-work .ln-page-' + name)?.click();
"""
# The browser's platform is what JupyterLab, too, tells Ctrl from Cmd by.
_SAVE = """
const mac = /Mac/i.test(navigator.platform);
const keys = new KeyboardEvent('keydown', {
  key: 's', code: 'KeyS', keyCode: 83, ctrlKey: !mac, metaKey: mac,
  bubbles: true, cancelable: true,
});
root.dispatchEvent(keys);
answer(keys.defaultPrevented ? 'saving' : 'deaf');
"""
# Menus listen for pointers, in older versions for the mouse. Once the notebook is loaded again its
# outputs are drawn anew: the old ones have left the page.
_RELOAD = """
const point = (part, action) => {
  const box = part.getBoundingClientRect(), kinds = {mouse: MouseEvent, pointer: PointerEvent};
  for (const [kind, Event] of Object.entries(kinds)) {
    part.dispatchEvent(new Event(kind + action, {
      bubbles: true, cancelable: true, button: 0,
      clientX: box.left + box.width / 2, clientY: box.top + box.height / 2,
    }));
  }
};
const entry = () => document.querySelector(
  '.lm-Menu-item[data-command="docmanager:reload"]:not(.lm-mod-disabled)');
const wait = (found, then, tries = 100) => {
  const thing = found();
  if (thing) { then(thing); }
  else if (tries) { setTimeout(wait, 100, found, then, tries - 1); }
};
const pane = root.closest('.jp-WindowedPanel-outer'), place = pane?.scrollTop;
const inSight = () => {
  if (pane && pane.scrollTop !== place) pane.scrollTop = place;  // the reader stays where he was
  return document.querySelector('.ln-work .ln-page-reloaded');
};
const file = document.querySelector('.lm-MenuBar-item');
if (file) {
  point(file, 'down');
  wait(entry, item => {
    point(item, 'move');
    point(item, 'up');
    wait(() => !root.isConnected && inSight(), button => button.click());
  }, 10);
}
"""
# Before the click on either button arrives, the kernel knows that a page listens.
_LISTEN = """
if (root && !root.lnListens) {
  root.lnListens = true;
  root.addEventListener('click', event => {
    if (!event.target.closest('.ln-save, .ln-restore')) return;
    root.lnClicked = true;
    answer('here');
  }, true);
}
"""
# A request runs once, and only where the click was: whenever its style is put into a page again, as
# when the notebook is opened another time, it would run again.
_ONCE = """
const before = root?.lnSeen ?? 0;
if (root) root.lnSeen = Math.max(before, NUMBER);
if (root?.lnClicked && before < NUMBER) {
"""
REQUESTS = {"save": _SAVE, "reload": _RELOAD}


class Page(VBox):
    """The page's end of the line: takes no room, and passes requests on and answers back.

    Args:
        on: answer of the page ("here", "saving", "deaf", "reloaded") -> what to do then.
        setup: a further script to run once the widget is in the page.
    """

    def __init__(self, on: Mapping[str, Callable[[], None]], css: str, setup: str) -> None:
        self._asked = 0
        self._request = HTML(layout={"display": "none"})
        hidden = Layout(display="none")
        answers = []
        for name, do in on.items():
            button = Button(layout=hidden)
            button.add_class(f"ln-page-{name}")
            button.on_click(lambda _, do=do: do())
            answers.append(button)
        style = hidden_style(css, _ROOT + _ANSWER + _LISTEN + setup)
        super().__init__([*answers, self._request, style], layout=hidden)

    def ask(self, request: str) -> None:
        """Have the page save the open notebook ("save"), or load it from the disk ("reload")."""
        self._asked += 1
        once = _ONCE.replace("NUMBER", str(self._asked)) + REQUESTS[request] + "}"
        self._request.value = hidden_style("", _ROOT + _ANSWER + once).value
