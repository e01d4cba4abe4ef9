// Tables sort by their headings: upwards, downwards, and back as they were. Rows without a value stay below.
// Long ones can be narrowed to the rows that hold a text. Without this script the page reads the same.
(() => {
  "use strict";
  const LONG = 15;
  const texts = new Intl.Collator(undefined, { numeric: true });
  const NEXT = { none: "ascending", ascending: "descending", descending: "none" };

  const valueOf = (row, place) => {
    const cell = row.cells[place];
    return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent.trim() || null;
  };

  const compared = (place, sign) => (one, other) => {
    const [a, b] = [valueOf(one, place), valueOf(other, place)];
    const numbers = [a, b].map((value) => typeof value === "number");
    if (numbers[0] && numbers[1]) return sign * (a - b);
    if (numbers[0] !== numbers[1]) return numbers[0] ? -1 : 1;
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * texts.compare(a, b);
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const given = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    if (given.length < 2) continue;
    heads.forEach((head, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const next = NEXT[head.getAttribute("aria-sort")];
        for (const other of heads) other.setAttribute("aria-sort", other === head ? next : "none");
        const rows = [...given];
        if (next !== "none") rows.sort(compared(place, next === "ascending" ? 1 : -1));
        body.append(...rows);
      });
    });
    if (given.length < LONG) continue;
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "search";
    label.className = "filter";
    label.append("only rows with ", box);
    table.parentElement.before(label);
    box.addEventListener("input", () => {
      const wanted = box.value.trim().toLowerCase();
      for (const row of given) row.hidden = !row.textContent.toLowerCase().includes(wanted);
    });
  }

  // Paper shows all of it.
  const closed = [];
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details:not([open])")) {
      closed.push(details);
      details.open = true;
    }
  });
  addEventListener("afterprint", () => {
    for (const details of closed.splice(0)) details.open = false;
  });
})();
