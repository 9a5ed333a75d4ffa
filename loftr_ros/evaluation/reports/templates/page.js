'use strict';
// A plot is drawn when it comes near the screen: a report of many bags opens at once.
const dark = window.matchMedia('(prefers-color-scheme: dark)');
const touch = window.matchMedia('(pointer: coarse)').matches;

function colours() {
  const style = getComputedStyle(document.documentElement);
  return { text: style.getPropertyValue('--text').trim(), line: style.getPropertyValue('--line').trim() };
}

function themed(layout) {
  const { text, line } = colours();
  const result = { ...layout, paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)', autosize: true,
    font: { color: text, size: 12 }, dragmode: touch ? false : 'zoom' };
  const axes = Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key));
  for (const key of new Set([...axes, 'xaxis', 'yaxis'])) {
    result[key] = { ...layout[key], gridcolor: line, linecolor: line, zerolinecolor: line, tickcolor: line };
  }
  return result;
}

function draw(plot) {
  const figure = JSON.parse(plot.parentElement.querySelector('script').textContent);
  plot.figure = figure;
  const options = { responsive: true, displaylogo: false, displayModeBar: false };
  Plotly.newPlot(plot, figure.data, themed(figure.layout), options).then(() => { plot.dataset.drawn = 'yes'; });
}

const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries.filter((each) => each.isIntersecting)) {
    watcher.unobserve(entry.target);
    draw(entry.target);
  }
}, { rootMargin: '600px' });
const plots = document.querySelectorAll('.plot');
plots.forEach((plot) => watcher.observe(plot));
dark.addEventListener('change', () => {
  plots.forEach((plot) => { if (plot.figure) Plotly.react(plot, plot.data, themed(plot.figure.layout)); });
});
