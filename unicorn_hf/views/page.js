// What the pages' scripts share. Text enters the document only as text.
"use strict";
const page = (() => {
  const byId = (id) => document.getElementById(id);

  function folded(text) {
    return text.normalize("NFKC").toLocaleLowerCase();
  }

  function element(name, className, text) {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  // Opens or closes the line below a table's line; returns whether it is open now.
  function toggleDetail(line, button, columns, content) {
    const isOpen = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!isOpen));
    line.classList.toggle("opened", !isOpen);
    if (isOpen) {
      line.nextElementSibling.remove();
      return false;
    }
    const detail = element("tr", "detail");
    const cell = element("td");
    cell.colSpan = columns;
    cell.append(content());
    detail.append(cell);
    line.after(detail);
    return true;
  }

  return { byId, element, folded, toggleDetail };
})();
