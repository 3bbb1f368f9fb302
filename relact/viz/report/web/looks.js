// Pictures of what the head related a person to, where the page was made with some; each leads to its moment.
function lookOf({ time, person, title, picture }) {
  const owner = owners.findIndex(({ id }) => id === person);
  const name = `${clockText(time, 1)}, ${owner < 0 ? `Person ${person}` : owners[owner].name}`;
  const there = element("button", { type: "button", class: "link" }, name);
  there.addEventListener("click", () => {
    if (owner >= 0) choosePeople([owner]);
    go(time);
    $("screen").scrollIntoView({ block: "nearest" });
  });
  const shown = element("img", { src: picture, alt: `${title}, at ${clockText(time, 1)}`, loading: "lazy" });
  return element("li", {}, there, shown);
}

function beginLooks() {
  $("looks-card").hidden = raw.looks.length === 0;
  $("looks").append(...raw.looks.map(lookOf));
  $("looks-all").addEventListener("click", () => {
    const whole = $("looks").classList.toggle("whole");
    $("looks-all").setAttribute("aria-pressed", String(whole));
    $("looks-all").textContent = whole ? "Show small pictures" : "Show whole pictures";
  });
}
