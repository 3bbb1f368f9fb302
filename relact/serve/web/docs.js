// openapi.json as a page: every operation with what it takes and answers, and a line for curl.
theme.begin();

const short = (ref) => ref.split("/").pop();

function kindOf(schema = {}) {
  if (schema.$ref) return element("a", { href: `#${short(schema.$ref)}` }, short(schema.$ref));
  if (schema.anyOf) {
    const row = element("span");
    schema.anyOf.forEach((one, place) => row.append(place ? " or " : "", kindOf(one)));
    return row;
  }
  if (schema.enum) return element("span", {}, schema.enum.join(", "));
  if (schema.type === "array") return element("span", {}, "list of ", kindOf(schema.items));
  return element("span", {}, schema.format === "binary" ? "file" : schema.format ?? schema.type ?? "anything");
}

function limitsOf(schema = {}) {
  const parts = [];
  if (schema.minimum !== undefined) parts.push(`From ${schema.minimum} to ${schema.maximum}.`);
  if (schema.default !== undefined) parts.push(`Default: ${JSON.stringify(schema.default)}.`);
  return parts.join(" ");
}

function table(rows) {
  const body = element("tbody");
  for (const [name, kind, text] of rows) {
    body.append(element("tr", {}, element("th", { scope: "row" }, element("code", {}, name)), element("td", {}, kind), element("td", {}, text)));
  }
  return element("table", {}, body);
}

function fields(schema) {
  return Object.entries(schema.properties ?? {}).map(([name, one]) => [
    name,
    kindOf(one),
    [one.description, limitsOf(one)].filter(Boolean).join(" "),
  ]);
}

function curl(verb, path, form) {
  const base = new URL("./", window.location.href).href.replace(/\/$/, "");
  const parts = ["curl", '-H "Authorization: Bearer $RELACT_TOKEN"'];
  if (form) parts.push("-F every=1", "-F file=@street.mp4");
  if (verb !== "get" && !form) parts.push(`-X ${verb.toUpperCase()}`);
  if (path.endsWith("{table}")) parts.push("-OJ");
  parts.push(`"${base}${path.replace("{job}", "$JOB").replace("{table}", "actions.csv")}"`);
  return parts.join(" ");
}

function operation(verb, path, about) {
  const card = element("section", { class: "card operation" });
  card.append(element("h3", {}, element("span", { class: `verb ${verb}` }, verb.toUpperCase()), element("code", {}, path)));
  card.append(element("p", {}, about.description ?? about.summary));
  const form = about.requestBody?.content["multipart/form-data"]?.schema;
  if (about.parameters) card.append(table(about.parameters.map((one) => [one.name, kindOf(one.schema), one.in])));
  if (form) card.append(table(fields(form)));
  card.append(element("pre", { tabindex: "0" }, element("code", {}, curl(verb, path, form))));
  const answers = Object.entries(about.responses).map(([status, one]) => {
    const schema = one.content?.["application/json"]?.schema;
    return [status, schema && Object.keys(schema).length ? kindOf(schema) : "", one.description];
  });
  card.append(table(answers));
  return card;
}

async function begin() {
  const spec = await (await fetch("api/v1/openapi.json")).json();
  $("about").textContent = `${spec.info.title} ${spec.info.version}. ${spec.info.description}`;
  for (const [path, verbs] of Object.entries(spec.paths)) {
    for (const [verb, about] of Object.entries(verbs)) $("operations").append(operation(verb, path, about));
  }
  for (const [name, schema] of Object.entries(spec.components.schemas)) {
    const card = element("section", { class: "card operation", id: name }, element("h3", {}, name));
    if (schema.description) card.append(element("p", {}, schema.description));
    card.append(schema.enum ? element("p", {}, schema.enum.join(", ")) : table(fields(schema)));
    $("shapes").append(card);
  }
}
begin();
