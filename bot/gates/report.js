// Runs the script that is named below, and reports its thresholds in the container's termination message.
import * as script from SCRIPT;
export * from SCRIPT;
export default script.default;

const own = script.options || {};
const expressions = [];
for (const metric of Object.keys(own.thresholds || {})) {
  for (const each of [].concat(own.thresholds[metric] || [])) {
    expressions.push(String((each && each.threshold) || each));
  }
}
if (expressions.length === 0) {
  throw new Error(NO_THRESHOLD);
}

// What a threshold is about, as k6's own parser takes it: whatever stands before the operator.
function aggregation(expression) {
  return expression.split(/[<>=!]/)[0].trim();
}

const usual = own.summaryTrendStats || ["avg", "min", "med", "max", "p(90)", "p(95)"];
const asked = expressions.map(aggregation).filter((each) => /^(avg|min|med|max|p\([0-9.]+\))$/.test(each));
export const options = Object.assign({}, own, {
  summaryTrendStats: Array.from(new Set([].concat(usual, asked, ["count"]))),
});

// How many samples there were; null where k6 does not tell.
function samples(metric) {
  const values = metric.values;
  if (metric.type === "trend") return values.count;
  if (metric.type === "rate") return values.passes + values.fails;
  // Without a sample a gauge has the value that it also has when it was never anything but 0.
  if (metric.type === "gauge") return values.value || values.min || values.max ? null : 0;
  return null;
}

function rows(metrics) {
  const found = [];
  for (const name of Object.keys(metrics)) {
    const metric = metrics[name];
    for (const expression of Object.keys(metric.thresholds || {})) {
      const value = metric.values[aggregation(expression)];
      const unit = metric.contains === "time" ? "ms" : metric.type === "rate" ? "%" : "";
      found.push([name, expression, metric.thresholds[expression].ok, value, samples(metric), unit]);
    }
  }
  return found;
}

function checks(group) {
  const here = group.checks.map((each) => [each.name, each.passes, each.fails]);
  return group.groups.reduce((known, each) => known.concat(checks(each)), here);
}

// JSON in ASCII, so that its length is that of the message in bytes.
function written(report) {
  return JSON.stringify(report).replace(/[^\x00-\x7f]/g, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
}

export function handleSummary(data) {
  const shown = script.handleSummary ? script.handleSummary(data) : undefined;
  const report = { label: __ENV.RELEASE_LABEL, thresholds: rows(data.metrics) };
  let text = written(report);
  const whole = written(Object.assign({ checks: checks(data.root_group) }, report));
  if (whole.length <= LONGEST) text = whole;
  if (text.length > LONGEST) text = written({ label: report.label, many: report.thresholds.length });
  return Object.assign({}, shown || { stdout: text + "\n" }, { [__ENV.GREENLIGHT_REPORT]: text });
}
