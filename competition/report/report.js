(() => {
  const root = document.documentElement;
  const chips = [...document.querySelectorAll(".chip")];
  const off = new Set();

  const hash = () => {
    const [place, ...rest] = location.hash.slice(1).split("&");
    const named = [place, ...rest].find((part) => part.startsWith("off="));
    return { place: place.startsWith("off=") ? "" : place, off: named ? named.slice(4).split(".") : [] };
  };
  const show = () => {
    for (const chip of chips) {
      const hidden = off.has(chip.dataset.class);
      chip.setAttribute("aria-pressed", String(!hidden));
      root.classList.toggle(`off-${chip.dataset.class}`, hidden);
    }
  };
  const keep = () => {
    const parts = [hash().place, off.size ? `off=${[...off].join(".")}` : ""].filter(Boolean);
    history.replaceState(null, "", `#${parts.join("&")}`);
    show();
  };
  for (const chip of chips) {
    chip.addEventListener("click", () => {
      const key = chip.dataset.class;
      off.has(key) ? off.delete(key) : off.add(key);
      keep();
    });
  }
  for (const button of document.querySelectorAll("[data-all]")) {
    button.addEventListener("click", () => {
      off.clear();
      if (button.dataset.all === "off") chips.forEach((chip) => off.add(chip.dataset.class));
      keep();
    });
  }
  const known = new Set(chips.map((chip) => chip.dataset.class));
  hash().off.filter((key) => known.has(key)).forEach((key) => off.add(key));
  show();
  if (off.size && hash().place) document.getElementById(hash().place)?.scrollIntoView();
  addEventListener("hashchange", () => { if (off.size) keep(); });

  const number = (text) => parseFloat(text.replace(/,/g, "").replace("−", "-"));
  for (const head of document.querySelectorAll("th")) {
    head.querySelector("button").addEventListener("click", () => {
      const table = head.closest("table");
      const column = [...head.parentNode.children].indexOf(head);
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const text = (row) => row.children[column].textContent.trim();
      const rows = [...table.tBodies[0].rows];
      const numeric = head.classList.contains("n");
      rows.sort((one, other) => {
        const [a, b] = [text(one), text(other)];
        if (!numeric) return (up ? 1 : -1) * a.localeCompare(b, undefined, { numeric: true });
        const [x, y] = [number(a), number(b)];
        if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y);
        return up ? x - y : y - x;
      });
      table.tBodies[0].append(...rows);
    });
  }
})();
