// How it learned: the slider shows every panel of a dataset after the same number of epochs; Play moves it on.
"use strict";
for (const root of document.querySelectorAll("[data-learning]")) {
  const { stops, panels: recorded } = JSON.parse(root.querySelector("script").textContent);
  const slider = root.querySelector("input");
  const button = root.querySelector("button");
  const panels = Array.from(root.querySelectorAll("[data-panel]"), (panel) => ({
    plane: panel.querySelector("[role=img]"),
    strip: panel.querySelector("image"),
    line: panel.querySelector(".boundary"),
    caption: panel.querySelector("figcaption"),
  }));
  const last = stops.length - 1;
  let timer = 0;

  const show = (stop) => {
    root.querySelector("[data-stop]").textContent = stops[stop];
    slider.setAttribute("aria-valuetext", stops[stop]);
    panels.forEach(({ plane, strip, line, caption }, place) => {
      const [frame, text, alternative] = recorded[place].steps[stop];
      line.setAttribute("d", recorded[place].lines[frame]);
      strip.setAttribute("y", -frame * strip.dataset.rows);
      plane.setAttribute("aria-label", alternative);
      caption.textContent = text;
    });
  };

  const play = (playing) => {
    clearInterval(timer);
    timer = playing ? setInterval(advance, 350) : 0;
    button.setAttribute("aria-pressed", playing);
    // A screen reader would be read a flood of numbers; it is told the last ones.
    for (const { caption } of panels) caption.setAttribute("aria-live", playing ? "off" : "polite");
  };

  const advance = () => {
    slider.value = Number(slider.value) + 1;
    if (Number(slider.value) === last) play(false);
    show(slider.value);
  };

  slider.addEventListener("input", () => {
    play(false);
    show(slider.value);
  });
  button.addEventListener("click", () => {
    const playing = !timer;
    if (playing && Number(slider.value) === last) {
      slider.value = 0;
      show(0);
    }
    play(playing);
  });
  addEventListener("beforeprint", () => show(last));
  addEventListener("afterprint", () => show(slider.value));
  slider.value = last; // a browser that reloads a page remembers where it stood
  root.querySelector(".controls").hidden = false;
}
