// The page's behaviour. Text of rows enters the document only as text: textContent and option labels, never markup.
"use strict";
(() => {
  const PAGE_ROWS = 25;
  const FADED = 0.05, CLEAR = 0.7;
  const { byId, element, folded, toggleDetail } = page;
  const data = JSON.parse(byId("data").textContent);
  const rows = data.rows.map((row, number) => ({
    ...row,
    number,
    haystack: folded([row.id, row.seed, row.caption, ...row.turns.map(([, value]) => value)].join("\n")),
  }));
  const fields = { config: byId("config"), domain: byId("domain"), task: byId("task") };
  const body = byId("table").tBodies[0];
  const fadeSoon = later(fadePoints, 120); // drawing 2,000 points twice would delay key strokes
  let found = [];
  let shown = 0;
  let points = null; // Bokeh's data source of the map
  let marking = false; // the script selects a point for a table row, not the reader

  // -- Filters

  function addOptions() {
    for (const [name, select] of Object.entries(fields)) {
      const counts = new Map();
      for (const row of rows) if (row[name]) counts.set(row[name], (counts.get(row[name]) || 0) + 1);
      for (const [value, number] of [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))) {
        const short = value.length > 50 ? `${value.slice(0, 49)}…` : value;
        select.append(new Option(`${short} (${number.toLocaleString("en")})`, value));
      }
    }
  }

  function filter() {
    const words = folded(byId("search").value).split(/\s+/).filter(Boolean);
    const wanted = Object.entries(fields).filter(([, select]) => select.value);
    found = rows.filter(
      (row) => wanted.every(([name, select]) => row[name] === select.value)
        && words.every((word) => row.haystack.includes(word)));
    body.replaceChildren();
    shown = 0;
    showMore();
    const all = found.length === rows.length ? "" : ` of ${rows.length.toLocaleString("en")} sampled rows`;
    byId("count").textContent = found.length
      ? `${found.length.toLocaleString("en")}${all || " sampled rows"}`
      : "No sampled row matches. Clear the filters, or search for fewer words.";
    for (const button of legendButtons()) {
      button.setAttribute("aria-pressed", String(domainOf(button) === fields.domain.value));
    }
    fadeSoon();
  }

  function later(action, delayMs) {
    let timer;
    return () => {
      clearTimeout(timer);
      timer = setTimeout(action, delayMs);
    };
  }

  // -- The table

  function showMore() {
    const next = found.slice(shown, shown + PAGE_ROWS).map(tableRow);
    body.append(...next);
    shown += next.length;
    const rest = found.length - shown;
    byId("more").hidden = !rest;
    byId("more").textContent = `Show ${Math.min(rest, PAGE_ROWS)} more of ${rest.toLocaleString("en")}`;
    return next[0];
  }

  function tableRow(row) {
    const line = element("tr");
    const button = element("button", "open", row.caption);
    button.type = "button";
    button.dir = "auto";
    button.setAttribute("aria-expanded", "false");
    button.addEventListener("click", () => toggle(line, button, row));
    const cell = element("td");
    cell.append(button);
    line.append(cell, element("td", "", row.domain), element("td", "", kindOf(row)));
    return line;
  }

  function kindOf(row) {
    return row.task.replaceAll("_", " ") || row.config;
  }

  function toggle(line, button, row) {
    if (toggleDetail(line, button, 3, () => wholeRow(row))) markPoint(row.number);
  }

  function wholeRow(row) {
    const whole = element("div");
    // In `pretrain`, the caption is the answer of the conversation.
    if (row.config !== "pretrain") whole.append(textOf("p", row.caption));
    const facts = element("p", "row-facts");
    for (const [label, value] of [["config", row.config], ["id", row.id], ["seed", row.seed]]) {
      const fact = element("span", "", `${label}: `);
      fact.append(element("bdi", "", value));
      facts.append(fact);
    }
    const chat = element("div", "chat");
    for (const [who, said] of row.turns) {
      const turn = element("div", who === "human" ? "turn human" : "turn");
      turn.append(element("span", "who", who), textOf("div", said));
      chat.append(turn);
    }
    whole.append(chat, facts);
    return whole;
  }

  function textOf(name, text) {
    const made = element(name, "text", text);
    made.dir = "auto";
    return made;
  }

  function moveByArrows(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !event.target.matches(".open")) return;
    const buttons = [...body.querySelectorAll(".open")];
    const next = buttons[buttons.indexOf(event.target) + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
  }

  // -- The map

  function legendButtons() {
    return byId("legend") ? byId("legend").querySelectorAll("button") : [];
  }

  function domainOf(button) {
    return data.domains[Number(button.dataset.domain)];
  }

  function fadePoints() {
    if (!points) return;
    const visible = new Set(found.map((row) => row.number));
    points.data = { ...points.data, alpha: Array.from(points.data.row, (row) => (visible.has(row) ? CLEAR : FADED)) };
  }

  function markPoint(number) {
    if (!points) return;
    const place = Array.from(points.data.row).indexOf(number);
    marking = true;
    points.selected.indices = place < 0 ? [] : [place];
    marking = false;
  }

  function showPicked() {
    if (marking) return;
    const place = points.selected.indices[0];
    const picked = byId("picked");
    picked.hidden = place === undefined;
    if (place === undefined) return;
    const row = rows[points.data.row[place]];
    picked.replaceChildren(element("h3", "", `${row.domain} · ${kindOf(row)}`), wholeRow(row));
  }

  // -- Bokeh

  async function draw() {
    const roots = {};
    for (const [root, place] of Object.entries(data.figures)) roots[root] = byId(place);
    await Bokeh.embed.embed_items({ page: data.document }, [{ docid: "page", roots, root_ids: Object.keys(roots) }]);
    const figures = Bokeh.documents.flatMap((document) => document.roots());
    const dark = matchMedia("(prefers-color-scheme: dark)");
    colour(figures);
    dark.addEventListener("change", () => colour(figures));
    if (!data.maps.length) return;
    const ofMap = figures.filter((figure) => data.maps.includes(data.figures[figure.id]));
    points = ofMap[0].renderers[0].data_source;
    points.selected.properties.indices.change.connect(showPicked);
    fadePoints();
  }

  function colour(figures) {
    const style = getComputedStyle(document.documentElement);
    const [ink, line] = ["--quiet", "--line"].map((name) => style.getPropertyValue(name).trim());
    for (const figure of figures) {
      for (const axis of [...figure.left, ...figure.below]) {
        axis.setv({ major_label_text_color: ink, axis_label_text_color: ink });
      }
      for (const part of figure.center) {
        if ("grid_line_color" in part) part.setv({ grid_line_color: line });
        if ("line_dash" in part && "location" in part) part.setv({ line_color: ink });
      }
    }
  }

  addOptions();
  byId("search").addEventListener("input", filter);
  for (const select of Object.values(fields)) select.addEventListener("change", filter);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("reset", () => setTimeout(filter));
  byId("more").addEventListener("click", () => showMore()?.querySelector(".open").focus());
  body.addEventListener("keydown", moveByArrows);
  for (const button of legendButtons()) {
    button.addEventListener("click", () => {
      fields.domain.value = fields.domain.value === domainOf(button) ? "" : domainOf(button);
      filter();
    });
  }
  filter();
  draw();
})();
