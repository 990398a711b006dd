// Moves the thresholds of a page. Counts are given; what follows from them is computed as scikit-learn does.
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 }); // of an axis

for (const widget of document.querySelectorAll(".moving")) {
  const { steps, positives, negatives, models } = JSON.parse(widget.querySelector("script").textContent);
  const one = (selector) => widget.querySelector(selector);
  const [slider, output, back, status, choice] = ["[type=range]", "output", "button", "[role=status]", "select"].map(one);
  const [fpPrice, fnPrice] = [one("input.fp"), one("input.fn")];
  const [roc, plot] = widget.querySelectorAll("svg");
  const rows = widget.querySelectorAll("tbody tr");
  const grid = Array.from({ length: steps + 1 }, (_, place) => place);
  const atOwn = output.textContent;
  let moved = false;
  let speaking;

  const price = (input) => (input.validity.valid ? input.valueAsNumber : NaN);

  function measures(model, place) {
    const tp = model.tp[place], fp = model.fp[place], fn = positives - tp;
    return {
      found: tp, missed: fn, alarms: fp, cleared: negatives - fp,
      precision: tp / Math.max(tp + fp, 1), // 0 where no row is positive
      recall: tp / positives,
      F1: (2 * tp) / (tp + fp + positives),
      accuracy: (tp + negatives - fp) / (positives + negatives),
      cost: fp * price(fpPrice) + fn * price(fnPrice),
    };
  }

  function showCurves(score) {
    const curves = models.map((model) => grid.map((place) => measures(model, place)[score]));
    const top = (score === "cost" && Math.max(...curves.flat())) || 1; // 1 where all costs are nothing, or no number
    const lines = plot.querySelectorAll(".line");
    curves.forEach((curve, index) => {
      const corners = curve.map((value, place) => `${(place / steps).toFixed(3)} ${((value || 0) / top).toFixed(3)}`);
      lines[index].setAttribute("d", `M${corners.join("L")}`);
    });
    plot.querySelector(".top").textContent = short.format(top);
    plot.querySelector(".half").textContent = short.format(top / 2);
    plot.querySelector(".upward").textContent = score;
    plot.setAttribute("aria-label", `${score} of each model against the threshold, with a dot at the table's`);
    return top;
  }

  function showModel(model, index, score, top) {
    const place = moved ? Math.round(slider.value * steps) : steps + 1;
    const at = measures(model, place);
    const texts = [
      moved ? slider.value : model.text,
      at.found, at.missed, at.alarms, at.cleared,
      ...[at.precision, at.recall, at.F1, at.accuracy].map(rounded),
      Number.isNaN(at.cost) ? "–" : plain(at.cost),
    ];
    rows[index].querySelectorAll("td").forEach((cell, column) => { cell.textContent = texts[column]; });
    move(roc.querySelectorAll(".mark")[index], at.alarms / negatives, at.recall);
    move(plot.querySelectorAll(".mark")[index], moved ? slider.value : model.threshold, (at[score] || 0) / top);
    return `${model.name} F1 ${rounded(at.F1)}`;
  }

  function show() {
    const score = choice.value;
    const top = showCurves(score);
    const scores = models.map((model, index) => showModel(model, index, score, top));
    output.textContent = moved ? slider.value : atOwn;
    slider.setAttribute("aria-valuetext", output.textContent);
    one("caption .fp").textContent = fpPrice.value;
    one("caption .fn").textContent = fnPrice.value;
    clearTimeout(speaking); // a slider on its way says nothing
    speaking = setTimeout(() => { status.textContent = `threshold ${output.textContent}: ${scores.join(", ")}`; }, 400);
  }

  slider.addEventListener("input", () => { moved = true; show(); });
  back.addEventListener("click", () => { moved = false; slider.value = slider.defaultValue; show(); });
  for (const input of [fpPrice, fnPrice, choice]) input.addEventListener("input", show);
  for (const controls of widget.querySelectorAll(".controls")) controls.hidden = false;
}

function move(mark, x, y) {
  mark.setAttribute("cx", x);
  mark.setAttribute("cy", y);
}

// To three decimals, and halves to even, as the rest of the page is written; only odd sixteenths are halves.
function rounded(value) {
  const below = Math.floor(value * 1000);
  return (value * 16) % 2 === 1 && below % 2 === 0 ? (below / 1000).toFixed(3) : value.toFixed(3);
}

function plain(number) {
  return String(Number(rounded(number)));
}
