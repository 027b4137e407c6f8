(() => {
  "use strict";
  const view = document.createElement("dialog");
  view.className = "viewer";
  const image = view.appendChild(document.createElement("img"));
  const bar = view.appendChild(document.createElement("p"));
  const button = (text, label, act) => {
    const made = bar.appendChild(document.createElement("button"));
    made.type = "button";
    made.textContent = text;
    made.setAttribute("aria-label", label);
    made.addEventListener("click", act);
  };
  let crops = [];
  let at = 0;
  const show = (next) => {
    at = (next + crops.length) % crops.length;
    const crop = crops[at];
    const [width, height] = [crops[0].naturalWidth || 1, crops[0].naturalHeight || 1];
    const room = Math.min((innerWidth - 48) / width, (innerHeight - 150) / height);
    const dense = devicePixelRatio || 1; // a whole number of the screen's pixels for each of HR
    const zoom = Math.max(1, Math.floor(room * dense)) / dense;
    image.src = crop.src;
    image.alt = crop.alt;
    image.width = width * zoom;
    image.height = height * zoom;
    caption.textContent = crop.closest("figure").querySelector("figcaption").textContent;
    count.textContent = `${at + 1} of ${crops.length}`;
  };
  button("←", "previous", () => show(at - 1));
  const caption = bar.appendChild(document.createElement("b"));
  caption.setAttribute("aria-live", "polite");
  const count = bar.appendChild(document.createElement("span"));
  button("→", "next", () => show(at + 1));
  button("HR", "show the original", () => show(0));
  button("×", "close", () => view.close());
  image.addEventListener("click", () => show(at + 1));
  view.addEventListener("click", (event) => event.target === view && view.close());
  view.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) {
      event.preventDefault();
      show(at + step);
    } else if (event.key === "h" || event.key === "H") {
      show(0);
    }
  });
  document.body.appendChild(view);
  for (const card of document.querySelectorAll(".crops")) {
    const own = [...card.querySelectorAll("img")];
    own.forEach((crop, place) => {
      const open = () => {
        crops = own;
        view.showModal();
        show(place);
      };
      crop.tabIndex = 0;
      crop.setAttribute("role", "button");
      crop.addEventListener("click", open);
      crop.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          open();
        }
      });
    });
  }
  for (const hint of document.querySelectorAll(".hint")) hint.hidden = false;
})();
