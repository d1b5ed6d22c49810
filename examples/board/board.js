// The page's behaviour. Text of sets enters the document only as text: textContent and option labels, never markup.
"use strict";
(() => {
  const PAGE_ROWS = 50;
  const MAX_OPTIONS = 200;
  const SVG = "http://www.w3.org/2000/svg";
  const { byId, element, folded, toggleDetail } = page;
  const { hub, binWords, rows } = JSON.parse(byId("data").textContent);
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  const count = (number) => number.toLocaleString("en");
  const points = (number) => `${number.toFixed(1)} %`;
  const percent = (share) => points(100 * share);
  const decimals = (number) => number.toFixed(3);
  const short = (number) => number.toLocaleString("en", { notation: "compact", maximumSignificantDigits: 3 });
  const scoreOf = (row) => row.scores.find(([setting]) => setting === byId("setting").value);
  // Each column: what it sorts by, how a value is shown, and its share of the table's width. Columns with `most` start
  // with the largest value; those without a width are shown in another one, and those without any value not at all.
  const columns = [
    { key: "name", title: "Set", value: (row) => row.name, width: 16.5 },
    { key: "updated", title: "Last change", value: (row) => row.updated, most: true },
    { key: "llm", title: "Language model", value: (row) => row.llm, width: 9 },
    { key: "encoder", title: "Encoder", value: (row) => row.encoder, width: 9 },
    { key: "transfer", title: "Transfer", value: (row) => row.transfer, width: 7 },
    { key: "languages", title: "Language", value: (row) => row.languages.join(", "), width: 5.5 },
    { key: "seeds", title: "Seeds", value: (row) => row.seeds, shown: count, most: true, width: 5 },
    { key: "captions", title: "Captions", value: (row) => row.captions, shown: count, most: true, width: 6.5 },
    { key: "conversations", title: "Conversations", value: (row) => row.conversations, most: true },
    { key: "words", title: "Words", value: (row) => row.words, shown: count, most: true, width: 6.5 },
    { key: "distinct", title: "Distinct-2", value: (row) => row.distinct, shown: decimals, most: true, width: 6.5 },
    { key: "rejected", title: "Rejected", value: (row) => row.rejected, shown: percent, width: 6 },
    { key: "tokens", title: "Tokens", value: (row) => row.tokens, shown: short, width: 5 },
    { key: "gap", title: "Gap", value: (row) => row.gap, shown: decimals, width: 4.5 },
    { key: "score", title: "Score", value: (row) => scoreOf(row)?.[1] ?? null, shown: points, most: true, width: 5.5 },
  ];
  const unknown = (value) => value === null || value === "";
  const fields = ["llm", "encoder", "transfer", "languages", "sources"];
  const byName = new Map(rows.map((row) => [row.name, row]));
  const children = new Map();
  for (const row of rows) {
    if (row.parent) children.set(row.parent, [...(children.get(row.parent) || []), row]);
    row.haystack = folded([row.name, row.title, row.llm, row.encoder, row.transfer, ...row.languages, ...row.sources].join("\n"));
  }
  addOptions(byId("setting"), rows.flatMap((row) => row.scores.map(([setting]) => setting)));
  const used = columns.filter((column) => !rows.length || rows.some((row) => !unknown(column.value(row))));
  const visible = used.filter((column) => column.width);
  const body = byId("table").tBodies[0];
  const sorting = { key: "updated", descending: true };
  let found = [];
  let shown = 0;

  function button(text, action) {
    const made = element("button", "", text);
    made.type = "button";
    made.addEventListener("click", action);
    return made;
  }

  // -- Filters and order

  function addOptions(select, values, label) {
    const counts = new Map();
    for (const value of values) counts.set(value, (counts.get(value) || 0) + 1);
    const ordered = [...counts].sort((a, b) => b[1] - a[1] || compare(a[0], b[0])).slice(0, MAX_OPTIONS);
    for (const [value, number] of ordered) select.append(new Option(`${value} (${count(number)})`, value));
  }

  function update() {
    const words = folded(byId("search").value).split(/\s+/).filter(Boolean);
    const wanted = fields.map((name) => [name, byId(name).value]).filter(([, value]) => value);
    found = rows.filter(
      (row) => wanted.every(([name, value]) => [row[name]].flat().includes(value))
        && row.captions >= Number(byId("size").value)
        && words.every((word) => row.haystack.includes(word)));
    const { value } = columns.find((column) => column.key === sorting.key);
    const sign = sorting.descending ? -1 : 1;
    found.sort((a, b) => {
      const [one, other] = [value(a), value(b)];
      // Unknown values come last in either order.
      if (unknown(one) || unknown(other)) return unknown(one) - unknown(other) || compare(a.name, b.name);
      return sign * (typeof one === "number" ? one - other : compare(one, other)) || compare(a.name, b.name);
    });
    body.replaceChildren();
    shown = 0;
    showMore();
    const all = found.length === rows.length ? "" : ` of ${count(rows.length)}`;
    byId("count").textContent = found.length
      ? `${count(found.length)}${all} sets`
      : "No set matches. Clear the filters, or search for fewer words.";
    byId("sort").value = sorting.key;
    byId("order").textContent = sorting.descending ? "↓ descending" : "↑ ascending";
    for (const head of document.querySelectorAll("#table thead th")) {
      if (head.dataset.key !== sorting.key) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", sorting.descending ? "descending" : "ascending");
    }
  }

  function sortBy(key) {
    const column = columns.find((one) => one.key === key);
    sorting.descending = sorting.key === key ? !sorting.descending : Boolean(column.most);
    sorting.key = key;
    update();
  }

  // -- The table

  function showMore() {
    const next = found.slice(shown, shown + PAGE_ROWS).map(tableRow);
    body.append(...next);
    shown += next.length;
    const rest = found.length - shown;
    byId("more").hidden = !rest;
    byId("more").textContent = `Show ${Math.min(rest, PAGE_ROWS)} more of ${count(rest)}`;
    return next[0];
  }

  function tableRow(row) {
    const line = element("tr", "row");
    const open = button(row.name, () => {
      setAddress(toggleDetail(line, open, visible.length, () => wholeRow(row)) ? row.name : "");
    });
    line.addEventListener("click", (event) => {
      // Who marks text to copy it does not mean to open the row.
      if (!event.target.closest("button") && getSelection().isCollapsed) open.click();
    });
    open.className = "open";
    open.setAttribute("aria-expanded", "false");
    const cell = element("td");
    cell.append(open);
    if (row.parent) cell.append(element("bdi", "second origin", `of ${row.parent}: ${row.changed || "unchanged"}`));
    if (row.title !== byName.get(row.parent)?.title) cell.append(element("bdi", "second", row.title));
    cell.append(element("span", "second", row.updated));
    if (row.is_rehearsal) cell.append(element("span", "badge", "a rehearsal, not training data"));
    line.append(cell);
    for (const column of visible.slice(1)) line.append(cellOf(row, column));
    return line;
  }

  function cellOf(row, { key, title, value, shown: format }) {
    const known = value(row);
    const cell = element("td", format ? "number" : "words");
    cell.dataset.label = title;
    if (unknown(known)) cell.append(element("span", "unknown", "–"));
    else cell.append(element("bdi", "value", format ? format(known) : known));
    if (key === "captions" && row.conversations) cell.append(element("span", "second", `${short(row.conversations)} conv.`));
    if (key === "words" && row.lengths.length) cell.append(picture(row, "lengths"));
    return cell;
  }

  // Captions by their words; all pictures have the same axis.
  function picture(row, className) {
    const svg = document.createElementNS(SVG, "svg");
    const highest = 30;
    const set = (shape, attributes) => {
      for (const [name, value] of Object.entries(attributes)) shape.setAttribute(name, value);
      svg.append(shape);
    };
    svg.setAttribute("class", className);
    svg.setAttribute("viewBox", `0 0 ${4 * row.lengths.length} ${highest + 1}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", "Captions by their number of words");
    row.lengths.forEach((share, place) => {
      const height = share ? Math.max((share / 100) * highest, 0.6) : 0;
      set(document.createElementNS(SVG, "rect"), { x: 4 * place + 0.3, y: highest - height, width: 3.4, height });
    });
    set(document.createElementNS(SVG, "path"), { d: `M0 ${highest + 0.5}H${4 * row.lengths.length}` });
    return svg;
  }

  function card(title, ...parts) {
    const made = element("div", "card");
    made.append(element("h3", "", title), ...parts);
    return made;
  }

  function wholeRow(row) {
    const whole = element("div", "columns");
    const link = element("a", "", `${row.name} on the Hub`);
    link.href = `${hub}/datasets/${row.name}`;
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    const config = row.conversations ? "instruction" : "pretrain";
    const load = element("pre");
    load.append(element("code", "", `from datasets import load_dataset\n\nload_dataset("${row.name}", "${config}", split="train")`));
    const again = element("pre");
    again.append(element("code", "", `unicorn-hf build --from ${row.name}`));
    whole.append(card("Use it", element("p", "quiet", "Load it with datasets:"), load,
      element("p", "quiet", "Make it again, with changes:"), again, link));
    if (row.lengths.length) {
      const axis = element("p", "axis");
      axis.append(element("span", "", "0 words"), element("span", "", `${binWords * (row.lengths.length - 1)} or more`));
      whole.append(card("Captions by their number of words", picture(row, "big"), axis));
    }
    if (row.parent || children.has(row.name)) whole.append(card("Lineage", lineage(row)));
    if (row.shared.length) whole.append(card("The same captions in other sets", sharedList(row)));
    const facts = element("dl");
    for (const [label, value] of row.facts) {
      const fact = element("div");
      const [term, text] = [element("dt"), element("dd")];
      term.append(element("bdi", "", label));
      text.append(element("bdi", "", value));
      fact.append(term, text);
      facts.append(fact);
    }
    whole.append(card("Figures", facts));
    return whole;
  }

  function sharedList(row) {
    const list = element("ul", "shared");
    for (const [name, words] of row.shared) {
      const item = element("li");
      item.append(button(name, () => show(name)), element("span", "quiet", ` has ${words}`));
      list.append(item);
    }
    return list;
  }

  // -- Lineage: recipes of `build --from` name their parent. Strangers' parents may form a circle, or a long line.

  function lineage(row) {
    const above = new Set([row.name]);
    let top = row.name;
    while (byName.get(top)?.parent && !above.has(byName.get(top).parent)) {
      top = byName.get(top).parent;
      above.add(top);
    }
    const tree = element("ul", "tree");
    const waiting = [[top, tree]];
    const seen = new Set();
    while (waiting.length) {
      const [name, list] = waiting.pop();
      if (seen.has(name)) continue;
      seen.add(name);
      const item = element("li");
      item.append(nodeOf(name, row), below(name, waiting));
      list.append(item);
    }
    return tree;
  }

  function below(name, waiting) {
    const list = element("ul");
    for (const child of [...(children.get(name) || [])].reverse()) waiting.push([child.name, list]);
    return list;
  }

  function nodeOf(name, current) {
    const node = element("span");
    const row = byName.get(name);
    if (name === current.name) node.append(element("strong", "", name));
    else if (row) node.append(button(name, () => show(name)));
    else node.append(element("bdi", "", name), " (not on this page)");
    if (row?.parent) node.append(element("span", "quiet", row.changed ? ` changed: ${row.changed}` : " unchanged"));
    return node;
  }

  // -- The set that the address names: the fragment is `#ORG/NAME`.

  function show(name) {
    const row = byName.get(name);
    if (!found.includes(row)) {
      for (const field of [...fields, "size", "search"]) byId(field).value = "";
      update();
    }
    while (shown <= found.indexOf(row)) showMore();
    const open = [...body.querySelectorAll(".open")].find((one) => one.textContent === name);
    if (open.getAttribute("aria-expanded") === "false") open.click();
    else setAddress(name);
    open.focus({ preventScroll: true });
    open.closest("tr").scrollIntoView({ block: "start", behavior: "instant" });
  }

  function setAddress(name) {
    history.replaceState(null, "", `#${encodeURI(name)}`);
    // A Space is a frame of the Hub's page, which has the address that people see and copy.
    if (window.parent !== window) window.parent.postMessage({ hash: location.hash }, "https://huggingface.co");
  }

  function showNamed() {
    let name = "";
    try {
      name = decodeURIComponent(location.hash.slice(1));
    } catch {
      // It is no text that was encoded, so it names no set.
    }
    if (byName.has(name)) show(name);
  }

  const width = visible.reduce((sum, column) => sum + column.width, 0);
  byId("table").style.setProperty("--columns", width);
  for (const column of visible) {
    const head = element("th", column.shown ? "number" : "");
    head.scope = "col";
    head.dataset.key = column.key;
    head.style.width = `${(100 * column.width) / width}%`;
    head.append(button(column.title, () => sortBy(column.key)));
    byId("table").tHead.rows[0].append(head);
  }
  for (const { key, title } of used) byId("sort").append(new Option(title, key));
  for (const name of fields) {
    addOptions(byId(name), rows.flatMap((row) => row[name]));
    byId(name).addEventListener("change", update);
  }
  byId("of-setting").hidden = !byId("setting").options.length;
  byId("search").addEventListener("input", update);
  byId("size").addEventListener("change", update);
  byId("setting").addEventListener("change", update);
  byId("sort").addEventListener("change", () => sortBy(byId("sort").value));
  byId("order").addEventListener("click", () => sortBy(sorting.key));
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("reset", () => setTimeout(update));
  byId("more").addEventListener("click", () => showMore()?.querySelector(".open").focus());
  addEventListener("hashchange", showNamed);
  update();
  showNamed();
})();
