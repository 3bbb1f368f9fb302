// The figures below the pictures, and the end.
theme.begin();
async function tell() {
  try {
    const state = await (await fetch("state")).json();
    $("source").textContent = state.source;
    document.title = `${state.source} · relact live`;
    $("figures").textContent = state.text;
    if (state.over) throw new Error("over");
    setTimeout(tell, 1000);
  } catch {
    $("over").hidden = false;
  }
}
tell();
