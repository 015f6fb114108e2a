// Pictures enlarge in a dialog, which Escape closes and which gives the focus back.
const enlarged = document.getElementById("enlarged"), stage = enlarged.querySelector(".stage");
document.querySelectorAll("button.enlarge").forEach(button => button.addEventListener("click", () => {
  const image = button.querySelector("img"), width = image.naturalWidth, height = image.naturalHeight;
  const room = innerWidth - 60, fit = Math.min(room / width, (innerHeight - 150) / height);
  const larger = Math.min(1.5 * image.clientWidth, Math.max(room, 520));
  const picture = document.createElement("span");
  picture.className = "picture";
  picture.append(...[...button.children].map(each => each.cloneNode(true)));
  picture.style.width = `${Math.round(Math.max(fit * width, width, larger))}px`;
  stage.replaceChildren(picture);
  const caption = button.closest("figure")?.querySelector("figcaption")?.innerText ?? image.alt;
  enlarged.querySelector("p").textContent = caption;
  enlarged.showModal();
  stage.scrollTo(0, 0);
  enlarged.querySelector(".hint").hidden =
    stage.scrollWidth <= stage.clientWidth + 1 && stage.scrollHeight <= stage.clientHeight + 1;
}));
enlarged.querySelector(".close").onclick = () => enlarged.close();
enlarged.onclick = event => { if (event.target === enlarged) enlarged.close(); };

// Tables wider than the page say that they scroll, and the keyboard scrolls them.
const widths = new ResizeObserver(entries => entries.forEach(({ target }) => {
  const scrolls = target.scrollWidth > target.clientWidth + 1;
  target.previousElementSibling.hidden = !scrolls;
  scrolls || target.scrollHeight > target.clientHeight + 1 ? target.setAttribute("tabindex", "0") : target.removeAttribute("tabindex");
}));
document.querySelectorAll(".wide").forEach(each => {
  const hint = document.createElement("p");
  hint.className = "hint";
  hint.textContent = "Wider than the page: scroll sideways →";
  hint.hidden = true;
  each.before(hint);
  widths.observe(each);
});

// Groups of pictures start folded on a phone; paper shows all of them.
const groups = document.querySelectorAll("details.group");
if (matchMedia("(max-width: 700px)").matches) groups.forEach((each, index) => { each.open = index === 0; });
addEventListener("beforeprint", () => groups.forEach(each => { each.open = true; }));
document.querySelectorAll("button.unfold").forEach(button => {
  const label = () => { button.textContent = [...groups].every(each => each.open) ? "Fold all" : "Unfold all"; };
  button.onclick = () => {
    const open = ![...groups].every(each => each.open);
    groups.forEach(each => { each.open = open; });
  };
  groups.forEach(each => each.addEventListener("toggle", label));
  button.hidden = false;
  label();
});
