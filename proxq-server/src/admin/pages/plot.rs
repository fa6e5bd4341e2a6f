//! Plots as SVG. Without scripts and without styles of their own: classes say what they are, the style sheet how they look.

use maud::{Markup, html};

use super::format::float;

/// The plot's own units: it is scaled to the width that there is.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 180.0;
/// Room for the numbers at the left and the times below.
const LEFT: f64 = 44.0;
const BOTTOM: f64 = 20.0;
const TOP: f64 = 10.0;

/// A line of a plot.
pub(super) struct Line {
    /// What it is, for its legend and its class.
    pub(super) name: &'static str,
    pub(super) class: &'static str,
    /// From the oldest to the newest; `None` where nothing is known.
    pub(super) values: Vec<Option<f64>>,
}

/// Lines over the last hour. `slots` is how many values the whole width has; those that are missing are the oldest. `describe`
/// writes a value of the axis.
pub(super) fn hour(title: &str, lines: &[Line], slots: usize, describe: impl Fn(f64) -> String) -> Markup {
    let highest =
        lines.iter().flat_map(|line| line.values.iter().flatten()).fold(0.0_f64, |most, value| most.max(*value));
    let top = ceiling(highest);
    let marks = [0.0, top / 2.0, top];
    let (plot_width, plot_height) = (WIDTH - LEFT, HEIGHT - BOTTOM - TOP);
    let x = |slot: usize| LEFT + plot_width * as_float(slot) / as_float(slots.saturating_sub(1).max(1));
    let y = |value: f64| TOP + plot_height * (1.0 - value / top);
    let summary: Vec<_> = lines
        .iter()
        .map(|line| {
            format!("{}: now {}", line.name, describe(line.values.last().copied().flatten().unwrap_or_default()))
        })
        .collect();
    html! {
        figure.plot {
            figcaption {
                span.plot-title { (title) }
                @for line in lines { span.legend { i.swatch.(line.class) {} (line.name) } }
            }
            div.plot-box {
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(format!("{title}, last hour. {}", summary.join(", "))) preserveAspectRatio="none" {
                @for mark in marks {
                    line.grid x1=(LEFT) x2=(WIDTH) y1=(round(y(mark))) y2=(round(y(mark))) {}
                }
                @for line in lines {
                    @for run in runs(&line.values) {
                        @let points = points(&run, slots - line.values.len(), &x, &y);
                        @if let ([first, ..], [.., last]) = (&run[..], &run[..]) {
                            @let offset = slots - line.values.len();
                            path.area.(line.class) d=(format!("M{} {} L{points} L{} {} Z", round(x(first.0 + offset)), round(y(0.0)), round(x(last.0 + offset)), round(y(0.0)))) {}
                        }
                        polyline.line.(line.class) points=(points) fill="none" vector-effect="non-scaling-stroke" {}
                    }
                }
            }
            div.axis-y aria-hidden="true" { @for mark in marks.iter().rev() { span { (describe(*mark)) } } }
            }
            div.axis-x aria-hidden="true" { span { "60 min ago" } span { "45" } span { "30" } span { "15" } span { "now" } }
        }
    }
}

/// A line without axes, to stand beside a number.
pub(super) fn spark(class: &str, values: &[f64]) -> Markup {
    const SPARK_WIDTH: f64 = 120.0;
    const SPARK_HEIGHT: f64 = 28.0;
    let top = values.iter().fold(0.0_f64, |most, value| most.max(*value)).max(f64::MIN_POSITIVE);
    let step = SPARK_WIDTH / as_float(values.len().saturating_sub(1).max(1));
    let points: Vec<_> = values
        .iter()
        .enumerate()
        .map(|(index, value)| {
            format!("{},{}", round(step * as_float(index)), round((SPARK_HEIGHT - 2.0) * (1.0 - value / top) + 1.0))
        })
        .collect();
    html! {
        svg.spark viewBox=(format!("0 0 {SPARK_WIDTH} {SPARK_HEIGHT}")) aria-hidden="true" preserveAspectRatio="none" {
            polyline.line.(class) points=(points.join(" ")) fill="none" vector-effect="non-scaling-stroke" {}
        }
    }
}

/// How much of a whole is in use.
pub(super) fn bar(used: u64, of: u64, label: &str) -> Markup {
    let share = if of == 0 { 0.0 } else { (float(used) / float(of)).min(1.0) };
    let class = if share >= 1.0 { "full" } else { "part" };
    html! {
        svg.bar viewBox="0 0 100 6" role="img" aria-label=(label) preserveAspectRatio="none" {
            rect.bar-whole width="100" height="6" rx="3" {}
            @if share > 0.0 { rect.bar-used.(class) width=(round(share * 100.0)) height="6" rx="3" {} }
        }
    }
}

/// The stretches of values that are known, each with its places.
fn runs(values: &[Option<f64>]) -> Vec<Vec<(usize, f64)>> {
    let mut runs: Vec<Vec<(usize, f64)>> = Vec::new();
    let mut goes_on = false;
    for (index, value) in values.iter().enumerate() {
        match value {
            Some(value) if goes_on => runs.last_mut().expect("one has begun").push((index, *value)),
            Some(value) => runs.push(vec![(index, *value)]),
            None => {}
        }
        goes_on = value.is_some();
    }
    runs
}

fn points(run: &[(usize, f64)], offset: usize, x: &impl Fn(usize) -> f64, y: &impl Fn(f64) -> f64) -> String {
    let points: Vec<_> =
        run.iter().map(|(slot, value)| format!("{},{}", round(x(slot + offset)), round(y(*value)))).collect();
    points.join(" ")
}

/// A round number that is not below this one, and not 0.
fn ceiling(highest: f64) -> f64 {
    if highest <= 0.0 {
        return 1.0;
    }
    let magnitude = 10_f64.powf(highest.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * magnitude).find(|top| *top >= highest).unwrap_or(highest)
}

fn round(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

fn as_float(number: usize) -> f64 {
    float(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_ends_at_a_round_number() {
        for (highest, top) in [(0.0, 1.0), (0.03, 0.05), (1.0, 1.0), (1.1, 2.0), (7.0, 10.0), (4321.0, 5000.0)] {
            assert!((ceiling(highest) - top).abs() < 1e-9, "{highest}: {}", ceiling(highest));
        }
    }

    #[test]
    fn gaps_part_a_line() {
        let values = [Some(1.0), Some(2.0), None, Some(3.0)];
        assert_eq!(runs(&values), [vec![(0, 1.0), (1, 2.0)], vec![(3, 3.0)]]);
        assert!(runs(&[]).is_empty() && runs(&[None]).is_empty());
    }

    #[test]
    fn an_empty_hour_and_a_full_bar_are_drawn() {
        let line = Line { name: "in", class: "in", values: Vec::new() };
        assert!(hour("Jobs", &[line], 360, |value| value.to_string()).into_string().contains("now 0"));
        assert!(bar(9, 3, "9 of 3").into_string().contains("width=\"100\""));
        assert!(!bar(0, 0, "").into_string().contains("bar-used"));
    }
}
