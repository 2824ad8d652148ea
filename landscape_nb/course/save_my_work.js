/**
 * Two buttons: Save my work, Restore my work. What they do is done by the kernel
 * (save_my_work.py); what a kernel cannot do, the page does here when it is asked to: save the open
 * notebook, in which something may be typed that no file holds yet, and load it again from the disk.
 *
 * Nothing of JupyterLab's own programming is used, only what a learner has too: the keys Ctrl+S and
 * the entry in the File menu. A page that does not know them (VS Code, Colab) says so, and the
 * words tell the learner what to do.
 *
 * The page tells the kernel   {view, pressed: "save" | "restore"}, with the chosen zip, and answers
 *                             {view, number, answer: "saving" | "deaf" | "reloaded"};
 * the kernel asks the page    {view, number, ask: "save" | "reload"}.
 */

const RESTARTED = "The kernel was restarted: run this cell again to save or restore.";
const BUSY = "Waiting for the kernel, which is still running a cell \u2026";
const PATIENCE = 1000; // milliseconds, chosen here: sooner than this a kernel at rest answers
const DISCONNECTED = "jupyter-widgets-disconnected"; // ipywidgets marks so what has no kernel

/** A part of the page, its attributes, and what it contains. */
function part(name, attributes, ...inside) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside);
  return made;
}

/** The buttons and the words. The place of the words is there before them: so they are spoken. */
function draw(el) {
  const purpose = "pack the answers and predictions of all notebooks into a zip";
  const save = part("button", { type: "button", class: "ln-save", title: purpose }, "Save my work");
  const file = part("input", { type: "file", accept: ".zip" });
  const label = part("label", { class: "ln-restore" }, "Restore my work", file);
  const buttons = part("div", { class: "ln-buttons" }, save, label);
  const words = part("div", { class: "ln-readout", role: "status" });
  el.classList.add("ln-work");
  el.append(buttons, words);
  return { save, file, buttons, words };
}

/** Whether the notebook around the buttons is the one in use, which keys and menus act on. */
function isInUse(el) {
  const used = document.activeElement?.closest(".jp-Document");
  return el.getClientRects().length > 0 && (!used || used.contains(el));
}

/** Press Ctrl+S, on a Mac Cmd+S, as a learner would; returns whether the page has taken it. */
function pressSave(el) {
  const mac = /Mac/i.test(navigator.platform); // by this JupyterLab, too, tells one from the other
  const keys = new KeyboardEvent("keydown", {
    key: "s", code: "KeyS", keyCode: 83, ctrlKey: !mac, metaKey: mac,
    bubbles: true, cancelable: true,
  });
  el.dispatchEvent(keys);
  return keys.defaultPrevented;
}

/** Point at a part of the page: menus listen for pointers, in older versions for the mouse. */
function point(at, action) {
  const box = at.getBoundingClientRect();
  const place = { clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 };
  const options = { bubbles: true, cancelable: true, button: 0, ...place };
  at.dispatchEvent(new MouseEvent(`mouse${action}`, options));
  at.dispatchEvent(new PointerEvent(`pointer${action}`, options));
}

/** The first true value of found(), asked for every 0.1 s; nothing if none comes in time. */
async function wait(found, seconds) {
  for (let tries = 10 * seconds; tries > 0; tries -= 1) {
    const thing = found();
    if (thing) return thing;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return null;
}

/** Choose File > Reload Notebook from Disk; returns whether there is such an entry. */
async function chooseReload() {
  const menu = document.querySelector(".lm-MenuBar-item");
  if (!menu) return false;
  const entry = '.lm-Menu-item[data-command="docmanager:reload"]:not(.lm-mod-disabled)';
  point(menu, "down");
  const item = await wait(() => document.querySelector(entry), 1);
  if (!item) {
    point(menu, "down"); // closes the menu again
    return false;
  }
  point(item, "move");
  point(item, "up");
  return true;
}

/**
 * Load the open notebook again; returns whether the buttons are back in it. All outputs are drawn
 * anew then, and the old ones have left the page. The reader stays where he was.
 */
async function reload(el) {
  const pane = el.closest(".jp-WindowedPanel-outer");
  const place = pane?.scrollTop;
  if (!(await chooseReload()) || !(await wait(() => !el.isConnected, 10))) return false;
  const drawnAnew = () => {
    if (pane && pane.scrollTop !== place) pane.scrollTop = place;
    return (pane ?? document).querySelector(".ln-work");
  };
  return Boolean(await wait(drawnAnew, 10));
}

/** What the page answers when it is asked for something; nothing if it has no answer. */
async function answer(ask, el) {
  if (ask === "save") return isInUse(el) && pressSave(el) ? "saving" : "deaf";
  return isInUse(el) && (await reload(el)) ? "reloaded" : null;
}

/** The chosen file, or as much of it as shows that it is too large: a longer message is lost. */
function content(file, largest) {
  return file.slice(0, largest + 1).arrayBuffer();
}

/** The latest zip as something that a link can hand to the browser. */
function linked(zip) {
  return URL.createObjectURL(new Blob([zip], { type: "application/zip" }));
}

function render({ model, el }) {
  // A kernel speaks to all views of a widget, in all windows: only the one that was used may act.
  const view = Math.random().toString(36).slice(2);
  const { save, file, buttons, words } = draw(el);
  const kernel = { waiting: 0, link: "" };

  const tell = (message, buffers = []) => model.send({ view, ...message }, undefined, buffers);
  const press = (message, buffers) => {
    clearTimeout(kernel.waiting);
    kernel.waiting = setTimeout(() => { words.textContent = BUSY; }, PATIENCE);
    tell(message, buffers);
  };
  const show = () => {
    clearTimeout(kernel.waiting);
    buttons.hidden = false;
    words.innerHTML = model.get("words"); // names of files in it are escaped by the kernel
    URL.revokeObjectURL(kernel.link);
    const link = words.querySelector("a[download]");
    kernel.link = link ? linked(model.get("packed")) : "";
    if (link) link.href = kernel.link;
  };
  const restore = async () => {
    const [chosen] = file.files;
    if (!chosen) return;
    try {
      const zip = await content(chosen, model.get("largest"));
      press({ pressed: "restore" }, [zip]);
    } catch (error) {
      press({ pressed: "restore", unreadable: String(error.message ?? error) });
    }
    file.value = ""; // so that the same file can be chosen again
  };
  const heed = async (message) => {
    if (message.view !== view) return;
    const answered = await answer(message.ask, el);
    if (answered) tell({ number: message.number, answer: answered });
  };
  const tellOfRestart = () => {
    clearTimeout(kernel.waiting);
    buttons.hidden = true;
    words.textContent = RESTARTED;
  };

  save.addEventListener("click", () => press({ pressed: "save" }));
  file.addEventListener("change", restore);
  model.on("change:words", show);
  model.on("msg:custom", heed);
  model.on("comm_live_update", tellOfRestart); // it was live, so it is no more
  if (el.classList.contains(DISCONNECTED)) tellOfRestart();
  else show();

  return () => {
    clearTimeout(kernel.waiting);
    URL.revokeObjectURL(kernel.link);
    model.off("change:words", show);
    model.off("msg:custom", heed);
    model.off("comm_live_update", tellOfRestart);
  };
}

export default { render };
