/* What the pages do beyond being read: theme, search, the current section, what is done.

   A classic script, as pages opened from a disk load no modules. Without it every page can be read
   in full; with it nothing leaves the device. */
"use strict";

globalThis.landscapeSite = (() => {
  const here = document.currentScript.src;
  const root = here.slice(0, here.lastIndexOf("/") + 1); // ends in a slash
  const KEY = "landscape_nb.";
  const SHOWN = 20; // results at a time; chosen here

  /** An element with attributes and children; a text is a child too. */
  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  // ---- what is kept on this device; where that is refused, as long as the page is open ----

  const kept = {};

  function read(name) {
    try {
      return localStorage.getItem(KEY + name);
    } catch {
      return kept[name] ?? null;
    }
  }

  function keep(name, value) {
    kept[name] = value;
    try {
      if (value === null) localStorage.removeItem(KEY + name);
      else localStorage.setItem(KEY + name, value);
    } catch {
      // a private window, or a browser that was told to keep nothing
    }
  }

  // ---- theme ------------------------------------------------------------------------------

  const THEMES = ["system", "light", "dark"];

  function showTheme(button) {
    const chosen = document.documentElement.dataset.theme ?? "system";
    button.textContent = `Theme: ${chosen}`;
  }

  function changeTheme(button) {
    const page = document.documentElement;
    const now = THEMES.indexOf(page.dataset.theme ?? "system");
    const next = THEMES[(now + 1) % THEMES.length];
    if (next === "system") delete page.dataset.theme;
    else page.dataset.theme = next;
    keep("theme", next === "system" ? null : next);
    showTheme(button);
  }

  // ---- search -----------------------------------------------------------------------------

  let index = null; // rows {url, page, title, text}, or a promise of them
  let receive = null;

  /** The text that was packed into base64 by the export. */
  async function unpacked(base64) {
    const bytes = Uint8Array.from(atob(base64), (sign) => sign.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).json();
  }

  /** The sections of all pages; loaded once, by a script, as a page on a disk may not fetch. */
  function load() {
    index ??= new Promise((resolve, reject) => {
      receive = resolve;
      const script = element("script", { src: root + "search-index.js" });
      script.onerror = () => reject(new Error("no index"));
      document.head.append(script);
    }).then(unpacked).then((pages) => pages.flatMap(([url, page, sections]) =>
      sections.map(([id, title, text]) => ({ url: id ? `${url}#${id}` : url, page, title, text }))));
    return index;
  }

  const words = (query) => query.toLowerCase().split(/\s+/).filter(Boolean);

  const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

  /** A pattern for words that begin with `word`. */
  const beginning = (word) => new RegExp(`(?<![\\p{L}\\p{N}])${escaped(word)}`, "giu");

  /** How well a section fits: 0 if a word is missing, more for titles than for texts. */
  function score(row, patterns) {
    let sum = 0;
    for (const pattern of patterns) {
      const count = (text) => (text.match(pattern) ?? []).length;
      const found = 20 * count(row.title) + 5 * count(row.page) + Math.min(count(row.text), 10);
      if (!found) return 0;
      sum += found;
    }
    return sum;
  }

  /** The rows that have every word of the query, best first; equals in the order of the course. */
  function matches(rows, query) {
    const patterns = words(query).map(beginning);
    if (!patterns.length) return [];
    const scored = rows.map((row, place) => ({ row, place, score: score(row, patterns) }));
    const found = scored.filter((one) => one.score > 0);
    return found.sort((a, b) => b.score - a.score || a.place - b.place).map((one) => one.row);
  }

  /** The text around the first word that was found, with the words marked. */
  function context(text, query) {
    const any = new RegExp(words(query).map((w) => beginning(w).source).join("|"), "giu");
    const at = Math.max(text.search(any), 0);
    const from = at < 60 ? 0 : text.indexOf(" ", at - 60) + 1;
    const to = text.indexOf(" ", at + 100);
    const cut = text.slice(from, to < 0 ? text.length : to);
    const line = element("span", { class: "context" }, from ? "… " : "");
    let end = 0;
    for (const match of cut.matchAll(any)) {
      line.append(cut.slice(end, match.index), element("mark", {}, match[0]));
      end = match.index + match[0].length;
    }
    line.append(cut.slice(end), from + cut.length < text.length ? " …" : "");
    return line;
  }

  function result(row, query) {
    const name = row.title ? `${row.page} › ${row.title}` : row.page;
    const link = element("a", { href: root + encodeURI(row.url).replace(/\?/g, "%3F") },
      element("span", { class: "where" }, name), " ", context(row.text, query));
    return element("li", {}, link);
  }

  /** The window of the search, made when it is first wanted. */
  function searchWindow() {
    const input = element("input", { type: "search", id: "query", autocomplete: "off", spellcheck: "false" });
    const status = element("p", { role: "status", class: "note" });
    const list = element("ul", { class: "results" });
    const close = element("button", { type: "button" }, "Close");
    const field = element("p", { class: "field" },
      element("label", { for: "query" }, "Search the course"), input, close);
    const dialog = element("dialog", { class: "search", "aria-label": "Search" }, field, status, list);
    document.body.append(dialog);

    let asked = 0;
    async function show() {
      const mine = ++asked, query = input.value;
      try {
        const rows = await load();
        if (mine !== asked) return; // another letter was typed meanwhile
        const found = matches(rows, query);
        list.replaceChildren(...found.slice(0, SHOWN).map((row) => result(row, query)));
        const number = found.length === 1 ? "1 section" : `${found.length} sections`;
        const more = found.length > SHOWN ? `; the first ${SHOWN} are shown` : "";
        status.textContent = words(query).length ? number + more : "";
      } catch {
        status.textContent = "This browser could not open the index of the search.";
      }
    }

    function move(event) {
      const links = [...list.querySelectorAll("a")];
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (event.key === "Enter" && event.target === input && links.length) links[0].click();
      if (!step) return;
      const next = links.indexOf(document.activeElement) + step;
      if (next < 0) input.focus();
      else links[Math.min(next, links.length - 1)]?.focus();
      event.preventDefault();
    }

    input.addEventListener("input", show);
    dialog.addEventListener("keydown", move);
    close.addEventListener("click", () => dialog.close());
    list.addEventListener("click", (event) => { if (event.target.closest("a")) dialog.close(); });
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    return { dialog, input, show };
  }

  let search = null;

  function openSearch() {
    search ??= searchWindow();
    search.dialog.showModal();
    search.input.focus();
    search.input.select();
    search.show();
  }

  // ---- what is done ---------------------------------------------------------------------------

  const WHOLE = ""; // in the list of done sections: the whole notebook

  /** {address of a page: ids of the sections that are done}. */
  function done() {
    try {
      return JSON.parse(read("done")) ?? {};
    } catch {
      return {};
    }
  }

  function tick(page, id, isDone) {
    const all = done();
    const others = (all[page] ?? []).filter((one) => one !== id);
    all[page] = isDone ? [...others, id] : others;
    keep("done", JSON.stringify(all));
  }

  function box(page, id, name) {
    const made = element("input", { type: "checkbox", "data-done": id, ...name });
    made.addEventListener("change", () => { tick(page, id, made.checked); showDone(); });
    return made;
  }

  /** Boxes to tick: one for each section, in the contents, and one for the notebook, at its end. */
  function addBoxes(page) {
    for (const item of document.querySelectorAll(".contents li.level-2")) {
      const link = item.querySelector("a");
      const id = decodeURIComponent(link.hash.slice(1));
      item.prepend(box(page, id, { "aria-label": `Done: ${link.textContent}` }));
    }
    const label = element("label", {}, box(page, WHOLE, {}), " I have finished this notebook");
    const note = element("span", { class: "note" }, "Ticks are kept on this device only.");
    document.querySelector("main").append(element("p", { class: "done" }, label, " ", note));
  }

  /** What is done, in the boxes of a notebook and in the table of the front page. */
  function showDone() {
    const all = done(), page = document.body.dataset.page;
    for (const one of document.querySelectorAll("input[data-done]")) {
      one.checked = (all[page] ?? []).includes(one.dataset.done);
    }
    const sections = {}; // of each notebook in the table
    for (const row of document.querySelectorAll("tr[data-page]")) {
      sections[row.dataset.page] = Number(row.dataset.sections);
      const ids = all[row.dataset.page] ?? [], count = ids.filter((id) => id !== WHOLE).length;
      const isDone = ids.includes(WHOLE) || count >= Number(row.dataset.sections);
      const some = count ? `${count} of ${row.dataset.sections} sections` : "not yet";
      row.querySelector(".progress").textContent = isDone ? "✓ done" : some;
    }
    dispatchEvent(new CustomEvent("landscape-ticks", { detail: ticked(all, sections) })); // the map
  }

  /** {name of a notebook: "begun" or "done"}, for those of which something is ticked. */
  function ticked(all, sections) {
    const some = Object.entries(all).filter(([, ids]) => ids.length);
    const isDone = (page, ids) => ids.includes(WHOLE) || ids.length >= (sections[page] ?? Infinity);
    return Object.fromEntries(some.map(([page, ids]) =>
      [page.replace(/\.html$/, ""), isDone(page, ids) ? "done" : "begun"]));
  }

  function addColumn() {
    const rows = document.querySelectorAll("tr[data-page]");
    if (!rows.length) return;
    rows[0].closest("table").querySelector("thead tr").append(element("th", {}, "done"));
    for (const row of rows) row.append(element("td", { class: "progress" }));
  }

  // ---- where the reader is, and what scrolls --------------------------------------------------

  function markSection() {
    const links = [...document.querySelectorAll(".contents a")];
    const heading = (link) => document.getElementById(decodeURIComponent(link.hash.slice(1)));
    const pairs = links.map((link) => [link, heading(link)]).filter(([, found]) => found);
    let waits = false, current = null;
    function mark() {
      waits = false;
      const atEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 2;
      const above = pairs.filter(([, found]) => found.getBoundingClientRect().top < innerHeight / 4);
      const now = (atEnd ? pairs : above).at(-1)?.[0] ?? null;
      if (now === current) return;
      current?.removeAttribute("aria-current");
      now?.setAttribute("aria-current", "true");
      current = now;
      const side = document.querySelector(".contents");
      if (now && side.scrollHeight > side.clientHeight) { // only the side column scrolls along
        side.scrollTop = now.offsetTop - side.clientHeight / 2;
      }
    }
    const later = () => { if (!waits) { waits = true; requestAnimationFrame(mark); } };
    addEventListener("scroll", later, { passive: true });
    addEventListener("resize", later);
    if (pairs.length) mark();
  }

  /** Beside the text the contents are open, above it they are folded. */
  function unfoldContents() {
    const details = document.querySelector(".contents details");
    if (!details) return;
    const beside = matchMedia("(min-width: 76rem)");
    const unfold = () => { details.open = beside.matches; };
    beside.addEventListener("change", unfold);
    details.addEventListener("click", (event) => {
      if (!beside.matches && event.target.closest("a")) details.open = false; // it hid the section
    });
    unfold();
  }

  const KINDS = [[".picture", "Picture"], [".equation, .long", "Equation"], [".output pre", "Printed output"],
    ["pre", "Code"], ["*", "Table"]];

  /** What scrolls sideways can be reached and scrolled with the keyboard, and has a name. */
  function nameScrollers(part) {
    const boxes = part.querySelectorAll(".wide, pre, .long");
    const wide = [...boxes].map((box) => box.scrollWidth > box.clientWidth + 1); // read, then write
    boxes.forEach((box, number) => {
      if (wide[number]) {
        const [, kind] = KINDS.find(([selector]) => box.matches(selector));
        box.tabIndex = 0;
        box.setAttribute("role", "group");
        box.setAttribute("aria-label", `${kind}, scrolls sideways`);
      } else if (box.hasAttribute("tabindex")) {
        for (const name of ["tabindex", "role", "aria-label"]) box.removeAttribute(name);
      }
    });
  }

  // ---- all together ---------------------------------------------------------------------------

  const theme = document.getElementById("theme");
  showTheme(theme);
  theme.addEventListener("click", () => changeTheme(theme));
  document.getElementById("search").addEventListener("click", openSearch);
  if ("ticks" in document.body.dataset) addBoxes(document.body.dataset.page);
  addColumn();
  showDone();
  addEventListener("storage", showDone); // another window of the course
  addEventListener("pageshow", showDone); // back from another page
  unfoldContents();
  markSection();
  const main = document.querySelector("main");
  new ResizeObserver(() => nameScrollers(main)).observe(main);
  document.addEventListener("toggle", (event) => {
    if (main.contains(event.target)) nameScrollers(event.target);
  }, true);
  // a committed prediction opens the answer that comes next
  document.addEventListener("landscape:committed", ({ target }) => {
    const after = (fold) => target.compareDocumentPosition(fold) & Node.DOCUMENT_POSITION_FOLLOWING;
    const next = [...main.querySelectorAll("details.answer")].find(after);
    if (next) next.open = true;
  });
  // what is out of sight is not laid out: it may be found to scroll when it comes into sight
  document.addEventListener("contentvisibilityautostatechange", (event) => {
    if (!event.skipped) nameScrollers(event.target);
  }, true);

  return { receive: (base64) => receive(base64) };
})();
