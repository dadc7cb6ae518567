// Sorts and filters the table of evaluated commits; it can be read and compared without.
"use strict";
const table = document.getElementById("table");
if (table) {
  const body = table.tBodies[0], rows = [...body.rows];
  const textOf = (row, column) => row.cells[column].textContent.trim();
  for (const button of table.querySelectorAll(".sort")) {
    button.addEventListener("click", () => {
      const cell = button.closest("th"), up = cell.getAttribute("aria-sort") !== "ascending";
      for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", up ? "ascending" : "descending");
      rows.sort((one, other) => {
        const [first, second] = [one, other].map((row) => textOf(row, cell.cellIndex));
        if (!first || !second) return Boolean(second) - Boolean(first);  // what has none comes last
        return (up ? 1 : -1) * first.localeCompare(second, undefined, { numeric: true });
      });
      body.append(...rows);
    });
  }
  const filter = document.getElementById("filter");
  filter.addEventListener("input", () => {
    const wanted = filter.value.toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
    document.getElementById("shown").textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} are shown.`;
  });
  filter.addEventListener("keydown", (event) => { if (event.key === "Enter") event.preventDefault(); });
}
