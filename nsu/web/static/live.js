// Keeps the live pages fresh: asks REST for the rates every two seconds, writes them into the cells that name them
// (data-rate="KEY FIELD") and draws the plots (data-plot). Without it the pages show the numbers of their loading.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const SPAN_S = 600, SPAN_LEAST_S = 60, WIDTH = 600, HEIGHT = 120;
  const plots = [...document.querySelectorAll("[data-plot]")];
  const cells = [...document.querySelectorAll("[data-rate]")];
  if (!plots.length && !cells.length) return;
  let points = [], failed = 0;

  const fields = {
    bytes_s: (rate) => rate.read_bytes_s + rate.written_bytes_s,
    operations_s: (rate) => rate.operations_s,
    read_bytes_s: (rate) => rate.read_bytes_s,
    written_bytes_s: (rate) => rate.written_bytes_s,
    latency_us: (rate) => rate.latency_us,
  };
  const bytes = (value) => {
    for (const unit of ["B", "KiB", "MiB", "GiB"]) {
      if (value < 1000) return `${value < 10 ? Math.round(value * 10) / 10 : Math.round(value)} ${unit}`;
      value /= 1024;
    }
    return `${value.toFixed(1)} TiB`;
  };
  const words = (field, value) => {
    if (value === null || value === undefined) return "–";
    if (field === "latency_us") return `${(value / 1000).toFixed(2)} ms`;
    if (field === "operations_s") return `${Math.round(value).toLocaleString("en")}/s`;
    return `${bytes(value)}/s`;
  };
  const element = (name, attributes) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };

  function draw(plot) {
    const keys = plot.dataset.keys.split(" ").filter(Boolean), field = plot.dataset.field, of = fields[field];
    const end = points.length ? points[points.length - 1].at : 0;
    const span = Math.max(SPAN_LEAST_S, Math.min(SPAN_S, points.length ? end - points[0].at : 0));
    const valuesOf = (key) => points.filter((p) => p.rates[key]).map((p) => [p.at, of(p.rates[key])]);
    const series = keys.map(valuesOf);
    const most = Math.max(1e-9, ...series.flat().map(([, value]) => value ?? 0));
    plot.querySelector(".lines").replaceChildren(...series.map((values, index) => {
      let path = "", pen = "M";
      for (const [at, value] of values) {
        if (value === null) { pen = "M"; continue; }
        const x = WIDTH * (1 - (end - at) / span), y = HEIGHT - 2 - (HEIGHT - 8) * value / most;
        path += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
        pen = "L";
      }
      return element("path", { d: path || "M0 0", class: `line-${index % 8}` });
    }));
    const last = series.map((values) => values.length ? values[values.length - 1][1] : null).filter((v) => v !== null);
    const sum = last.reduce((a, b) => a + b, 0);
    const now = field === "latency_us" ? (last.length ? sum / last.length : null) : (last.length ? sum : null);
    plot.querySelector(".now").textContent = words(field, now);
    plot.querySelector(".span").textContent = span < 120 ? `last ${Math.round(span)} s` : `last ${Math.round(span / 60)} min`;
    plot.querySelector(".most").textContent = most > 1e-9 ? `top: ${words(field, most)}` : "";
    const list = plot.querySelector(".keys");
    if (keys.length > 1 && !list.children.length) {
      list.append(...keys.map((key, index) => {
        const item = document.createElement("li"), mark = document.createElement("span");
        mark.className = `key line-${index % 8}`;
        item.append(mark, key.slice(key.indexOf(":") + 1).replace(":", " "));
        return item;
      }));
    }
  }

  function show() {
    const rates = points.length ? points[points.length - 1].rates : {};
    for (const cell of cells) {
      const [key, field] = cell.dataset.rate.split(/ (?=[^ ]*$)/);
      cell.textContent = rates[key] ? words(field, fields[field](rates[key])) : "–";
    }
    plots.forEach(draw);
  }

  async function ask() {
    try {
      const since = points.length ? points[points.length - 1].at : 0;
      const answer = await fetch(`/api/v1/series?since=${since}`, { credentials: "same-origin" });
      if (answer.status === 401) return;  // logged out: the next page says so
      if (!answer.ok) throw new Error(answer.status);
      const fresh = await answer.json();
      points = points.concat(fresh.points).filter((p) => !fresh.points.length || p.at > fresh.points[fresh.points.length - 1].at - SPAN_S);
      failed = 0;
      show();
    } catch { failed = Math.min(failed + 1, 10); }
    const rest = document.hidden ? 10000 : 2000 * (1 + failed);
    setTimeout(ask, rest);
  }
  ask();
})();
