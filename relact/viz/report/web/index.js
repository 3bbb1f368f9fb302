// The videos of a folder: a card each, found by name or action.
theme.begin();
const { videos } = readJson("data");

function card(video) {
  const poster = element("div", { class: "poster" });
  if (video.poster) poster.append(element("img", { src: video.poster, alt: "", loading: "lazy" }));
  poster.append(element("span", { class: "length" }, clockText(video.duration)));
  const facts = `${plural(video.people, "person", "people")}, ${plural(video.segments, "segment", "segments")}`;
  const acts = element("div", { class: "acts" });
  for (const action of video.actions) {
    const seconds = clockText(action.seconds);
    acts.append(element("span", { class: `act tint-${action.group}`, title: "of all people together" }, `${action.name} ${seconds}`));
  }
  const about = element("div", { class: "about" }, element("h2", {}, video.title));
  about.append(element("p", { class: "muted" }, facts), acts);
  for (const warning of video.warnings) about.append(element("p", { class: "note" }, warning));
  return element("li", {}, element("a", { class: "card", href: video.href }, poster, about));
}

const cards = videos.map((video) => {
  const words = [video.title, ...video.actions.map((action) => action.name)].join("\n").toLowerCase();
  return { words, node: card(video) };
});
$("videos").append(...cards.map(({ node }) => node));
const seconds = videos.reduce((sum, video) => sum + video.duration, 0);
$("total").textContent = `${plural(videos.length, "video", "videos")}, ${clockText(seconds)}`;

$("search").addEventListener("input", () => {
  const wanted = $("search").value.trim().toLowerCase();
  let shown = 0;
  for (const { words, node } of cards) {
    node.hidden = !words.includes(wanted);
    shown += !node.hidden;
  }
  $("nothing").hidden = shown > 0;
  $("nothing").textContent = "No video has this in its name or its actions.";
  $("status").textContent = `${plural(shown, "video", "videos")} shown`;
});
