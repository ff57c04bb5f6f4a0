
"use strict";
// Lists of many files can be searched; on paper, everything that is closed is open.
for (const list of document.querySelectorAll(".paths")) {
  const rows = [...list.children];
  if (rows.length < 12) continue;
  const label = document.createElement("label");
  const input = document.createElement("input");
  const number = document.createElement("span");
  label.className = "filter";
  input.type = "search";
  number.setAttribute("role", "status");
  label.append("Only with ", input, number);
  list.before(label);
  input.addEventListener("input", () => {
    const wanted = input.value.toLowerCase();
    let shown = 0;
    for (const row of rows) {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
      if (!row.hidden) shown += 1;
    }
    number.textContent = wanted === "" ? "" : shown + " of " + rows.length;
  });
}
let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open])")];
  for (const part of closed) part.open = true;
});
addEventListener("afterprint", () => {
  for (const part of closed) part.open = false;
});
