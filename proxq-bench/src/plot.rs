//! Plots of tables as SVG: `MEASURE-rates.svg` with a bar for each row, `MEASURE-latencies.svg` with a curve for each row.

use std::path::Path;

use plotters::prelude::*;

use crate::Problem;
use crate::latencies::Latencies;
use crate::table::Table;

const WIDTH: u32 = 960;
/// Of a plot of curves. That of bars depends on their number.
const HEIGHT: u32 = 480;
const BAR_HEIGHT: u32 = 36;
/// For captions and axes.
const MARGINS_HEIGHT: u32 = 96;
const CAPTION: (&str, u32) = ("sans-serif", 22);
const TEXT: (&str, u32) = ("sans-serif", 16);
/// The curves go up to the latency of one in ten thousand requests: four nines.
const NINES: f64 = 4.0;
/// Points of a curve between two nines.
const POINTS: u32 = 20;

type Drawn<T> = Result<T, DrawingAreaErrorKind<std::io::Error>>;

/// Draws whatever each table has. `machine` goes under each plot.
pub(crate) fn draw_all(folder: &Path, machine: &str, tables: &[Table]) -> Result<(), Problem> {
    for table in tables {
        let (rates, latencies) = (table.rates(), table.latencies());
        let caption = |what: &str| format!("{}: {what}", table.about.name);
        if !rates.is_empty() {
            let path = folder.join(format!("{}-rates.svg", table.about.name));
            draw_rates(&path, &caption("per second"), machine, &rates)?;
        }
        if !latencies.is_empty() {
            let path = folder.join(format!("{}-latencies.svg", table.about.name));
            draw_latencies(&path, &caption("latency by share of requests"), machine, &latencies)?;
        }
    }
    Ok(())
}

fn draw_rates(path: &Path, caption: &str, machine: &str, rates: &[(&str, f64)]) -> Drawn<()> {
    let bars = u32::try_from(rates.len()).unwrap_or(u32::MAX);
    let area = SVGBackend::new(path, (WIDTH, bars * BAR_HEIGHT + MARGINS_HEIGHT)).into_drawing_area();
    area.fill(&WHITE)?;
    let highest = rates.iter().map(|rate| rate.1).fold(1.0, f64::max);
    // The first row is at the top.
    let mut chart = ChartBuilder::on(&area)
        .caption(caption, CAPTION)
        .margin(16)
        .margin_right(32)
        .x_label_area_size(36)
        .build_cartesian_2d(0.0..highest * 1.05, f64::from(bars)..0.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_label_formatter(&|rate| format!("{rate:.0}"))
        .x_desc(machine)
        .axis_desc_style(TEXT)
        .label_style(TEXT)
        .draw()?;
    for ((name, rate), row) in rates.iter().zip(0_u32..) {
        let top = f64::from(row);
        let color = Palette99::pick(row as usize).mix(0.5);
        chart.draw_series([
            Rectangle::new([(0.0, top + 0.1), (*rate, top + 0.9)], color.filled()).into_dyn(),
            Text::new(format!("{name}: {rate:.0}"), (highest * 0.01, top + 0.25), TEXT).into_dyn(),
        ])?;
    }
    area.present()
}

fn draw_latencies(path: &Path, caption: &str, machine: &str, rows: &[(&str, &Latencies)]) -> Drawn<()> {
    let area = SVGBackend::new(path, (WIDTH, HEIGHT)).into_drawing_area();
    area.fill(&WHITE)?;
    let curves: Vec<_> = rows.iter().map(|(name, latencies)| (*name, curve(latencies))).collect();
    let heights = || curves.iter().flat_map(|(_, points)| points).map(|point| point.1);
    let (lowest, highest) = (heights().fold(f64::MAX, f64::min), heights().fold(0.0, f64::max));
    let mut chart = ChartBuilder::on(&area)
        .caption(caption, CAPTION)
        .margin(16)
        .margin_right(32)
        .x_label_area_size(48)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..NINES, (lowest * 0.8..highest * 1.2).log_scale())?;
    let share = |nines: &f64| format!("{} %", 100.0 - 100.0 / 10_f64.powf(*nines));
    chart
        .configure_mesh()
        .x_labels(5)
        .x_label_formatter(&share)
        .x_desc(machine)
        .y_desc("ms")
        .axis_desc_style(TEXT)
        .label_style(TEXT)
        .draw()?;
    for (number, (name, points)) in curves.into_iter().enumerate() {
        let color = Palette99::pick(number).to_rgba();
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    let position = SeriesLabelPosition::UpperLeft;
    chart.configure_series_labels().position(position).background_style(WHITE.mix(0.8)).label_font(TEXT).draw()?;
    area.present()
}

/// Latencies in milliseconds by nines: 1 is 90 % of all requests, 2 is 99 %.
fn curve(latencies: &Latencies) -> Vec<(f64, f64)> {
    let points = 0..=POINTS * 4;
    let nines = points.map(|point| f64::from(point) / f64::from(POINTS));
    // A logarithmic axis has no zero, and a latency below a microsecond is not measured.
    nines.map(|nines| (nines, latencies.quantile_ms(1.0 - 10_f64.powf(-nines)).max(1e-3))).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::measure::About;
    use crate::metric::Metric;

    #[test]
    fn every_row_is_in_the_plots() {
        let about = About { name: "tea", title: "cups", limited_by: "the kettle", target: "≥ 2" };
        let mut table = Table::new(about);
        for (row, millis) in [("green", 1), ("black", 20)] {
            let mut latencies = Latencies::new();
            latencies.record(Duration::from_millis(millis)).unwrap();
            table.keep(row, Metric::Rate, 1000.0);
            table.keep_latencies(row, &latencies).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        draw_all(folder.path(), "a small machine", &[table]).unwrap();
        for file in ["tea-rates.svg", "tea-latencies.svg"] {
            let plot = fs::read_to_string(folder.path().join(file)).unwrap();
            for text in ["green", "black", "a small machine"] {
                assert!(plot.contains(text), "{file} has no {text}");
            }
        }
    }

    #[test]
    fn a_curve_goes_from_the_fastest_request_to_four_nines() {
        let mut latencies = Latencies::new();
        for millis in 1..=100 {
            latencies.record(Duration::from_millis(millis)).unwrap();
        }
        let curve = curve(&latencies);
        let at = |nines: f64| curve.iter().find(|point| (point.0 - nines).abs() < 1e-9).unwrap().1;
        assert!((at(1.0) - 90.0).abs() < 0.5 && (at(2.0) - 99.0).abs() < 0.5, "{curve:?}");
        assert!((at(NINES) - 100.0).abs() < 0.5 && curve.len() == 81, "{curve:?}");
    }
}
