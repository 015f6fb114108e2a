document.querySelectorAll("table.sortable th button").forEach(button => {
  button.onclick = () => {
    const head = button.parentElement, table = head.closest("table"), body = table.tBodies[0];
    const column = head.cellIndex, down = head.getAttribute("aria-sort") !== "descending";
    const key = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const compare = (a, b) => {
      const [x, y] = [key(a), key(b)], [p, q] = [parseFloat(x), parseFloat(y)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = isNaN(p) || isNaN(q) ? x.localeCompare(y) : p - q;
      return down ? -order : order;
    };
    table.querySelectorAll("th").forEach(each => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    [...body.rows].sort(compare).forEach(row => body.append(row));
  };
});
