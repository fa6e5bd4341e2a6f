//! The figures of one measure: a row for each way to do the same, a column for each metric, a figure for each round.

use std::fmt::{self, Write as _};

use serde_json::{Value, json};

use crate::Problem;
use crate::latencies::Latencies;
use crate::measure::About;
use crate::metric::Metric;

/// The shares of all requests whose latencies are written into the results.
const LATENCY_SHARES: [f64; 9] = [0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 0.9999, 1.0];

/// The figures of one measure.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) about: About,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: String,
    /// In the order in which they were first kept.
    columns: Vec<(Metric, Vec<f64>)>,
    /// Of all rounds together.
    latencies: Option<Latencies>,
}

impl Table {
    pub(crate) fn new(about: About) -> Self {
        Self { about, rows: Vec::new() }
    }

    /// Adds the figure of one more round.
    pub(crate) fn keep(&mut self, row: &str, metric: Metric, figure: f64) {
        let columns = &mut self.row(row).columns;
        match columns.iter_mut().find(|column| column.0 == metric) {
            Some(column) => column.1.push(figure),
            None => columns.push((metric, vec![figure])),
        }
    }

    /// Adds the latencies of one more round, and their usual quantiles.
    pub(crate) fn keep_latencies(&mut self, row: &str, latencies: &Latencies) -> Result<(), Problem> {
        for (metric, share) in [(Metric::P50Ms, 0.5), (Metric::P90Ms, 0.9), (Metric::P99Ms, 0.99)] {
            self.keep(row, metric, latencies.quantile_ms(share));
        }
        match &mut self.row(row).latencies {
            Some(all) => all.merge(latencies),
            none => {
                *none = Some(latencies.clone());
                Ok(())
            }
        }
    }

    /// Divides a metric of the rows whose names contain `part` by that of another row, round by round.
    pub(crate) fn compare(&mut self, part: &str, metric: Metric, baseline: &str, ratio: Metric) {
        let Some(divisors) = self.figures(baseline, metric).map(<[f64]>::to_vec) else { return };
        for row in self.rows.iter_mut().filter(|row| row.name.contains(part)) {
            let Some((_, figures)) = row.columns.iter().find(|column| column.0 == metric) else { continue };
            let ratios = figures.iter().zip(&divisors).map(|(figure, divisor)| figure / divisor).collect();
            row.columns.push((ratio, ratios));
        }
    }

    /// The median of a metric of one row.
    pub(crate) fn median(&self, row: &str, metric: Metric) -> Option<f64> {
        self.figures(row, metric).and_then(median)
    }

    /// The latencies of each row that has some.
    pub(crate) fn latencies(&self) -> Vec<(&str, &Latencies)> {
        self.rows.iter().filter_map(|row| Some((row.name.as_str(), row.latencies.as_ref()?))).collect()
    }

    /// The median rate of each row that has one.
    pub(crate) fn rates(&self) -> Vec<(&str, f64)> {
        self.rows.iter().filter_map(|row| Some((row.name.as_str(), self.median(&row.name, Metric::Rate)?))).collect()
    }

    /// Everything that was measured, with the figure of each round.
    pub(crate) fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let figures = row.columns.iter().map(|(metric, rounds)| {
                (metric.key().to_owned(), json!({ "median": median(rounds), "rounds": rounds }))
            });
            let latencies = row.latencies.as_ref().map(|latencies| {
                LATENCY_SHARES.map(|share| json!({ "share": share, "ms": latencies.quantile_ms(share) }))
            });
            json!({ "name": row.name, "figures": figures.collect::<serde_json::Map<_, _>>(), "latencies": latencies })
        });
        let About { name, title, limited_by, target } = self.about;
        json!({
            "name": name, "title": title, "limited_by": limited_by, "target": target, "rows": rows.collect::<Vec<_>>(),
        })
    }

    fn figures(&self, row: &str, metric: Metric) -> Option<&[f64]> {
        let row = self.rows.iter().find(|candidate| candidate.name == row)?;
        row.columns.iter().find(|column| column.0 == metric).map(|column| column.1.as_slice())
    }

    fn row(&mut self, name: &str) -> &mut Row {
        let at = self.rows.iter().position(|row| row.name == name).unwrap_or_else(|| {
            self.rows.push(Row { name: name.to_owned(), columns: Vec::new(), latencies: None });
            self.rows.len() - 1
        });
        &mut self.rows[at]
    }

    /// The metrics of all rows, each once.
    fn metrics(&self) -> Vec<Metric> {
        let mut metrics = Vec::new();
        for (metric, _) in self.rows.iter().flat_map(|row| &row.columns) {
            if !metrics.contains(metric) {
                metrics.push(*metric);
            }
        }
        metrics
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let About { name, title, limited_by, target } = self.about;
        writeln!(f, "{name}: {title}\n  limited by: {limited_by}\n  target:     {target}")?;
        let metrics = self.metrics();
        let width = self.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        let mut heading = format!("  {:width$}", "");
        for metric in &metrics {
            write!(heading, "  {:>10}", metric.title())?;
        }
        writeln!(f, "{}", heading.trim_end())?;
        for row in &self.rows {
            let mut line = format!("  {:width$}", row.name);
            for metric in &metrics {
                let figure = self.median(&row.name, *metric).map(shown).unwrap_or_default();
                write!(line, "  {figure:>0$}", metric.title().chars().count().max(10))?;
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// The middle figure; of an even number, the mean of the two in the middle. `None` if there is none.
fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        return Some(sorted[middle]);
    }
    Some(f64::midpoint(*sorted.get(middle.checked_sub(1)?)?, *sorted.get(middle)?))
}

/// A figure with as many digits as mean something.
fn shown(figure: f64) -> String {
    match figure.abs() {
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ABOUT: About = About { name: "tea", title: "cups", limited_by: "the kettle", target: "≥ 2" };

    #[test]
    fn a_median_is_the_middle_figure() {
        assert_eq!(median(&[3.0, 1.0, 200.0]), Some(3.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn ratios_are_those_of_the_same_round() {
        let mut table = Table::new(ABOUT);
        for (ours, theirs) in [(1.0, 2.0), (30.0, 10.0), (8.0, 8.0)] {
            table.keep("ours", Metric::Rate, ours);
            table.keep("theirs", Metric::Rate, theirs);
        }
        table.keep("other", Metric::CpuMicros, 7.0);
        table.compare("ours", Metric::Rate, "theirs", Metric::OfRedis);
        table.compare("", Metric::Rate, "theirs", Metric::RateRatio);
        assert_eq!(table.median("ours", Metric::OfRedis), Some(1.0));
        assert_eq!(table.median("theirs", Metric::OfRedis), None);
        assert_eq!(table.median("theirs", Metric::RateRatio), Some(1.0));
        assert_eq!(table.median("other", Metric::RateRatio), None);
        assert_eq!(table.json()["rows"][0]["figures"]["rate_ratio"]["rounds"], json!([0.5, 3.0, 1.0]));
    }

    #[test]
    fn a_row_shows_the_medians_under_their_titles() {
        let mut table = Table::new(ABOUT);
        table.keep("green", Metric::Rate, 1234.5);
        table.keep("black", Metric::RedisCpuMicros, 12.34);
        assert_eq!(
            table.to_string(),
            "tea: cups\n  limited by: the kettle\n  target:     ≥ 2\n\
             \x20        per second  Redis CPU µs\n  green        1234\n  black                      12.3\n"
        );
    }

    #[test]
    fn latencies_of_all_rounds_are_put_together() {
        let mut table = Table::new(ABOUT);
        for millis in [1, 3] {
            let mut latencies = Latencies::new();
            latencies.record(Duration::from_millis(millis)).unwrap();
            table.keep_latencies("row", &latencies).unwrap();
        }
        let json = table.json();
        let shares = json["rows"][0]["latencies"].as_array().unwrap();
        assert_eq!(shares.len(), LATENCY_SHARES.len());
        assert!(shares[0]["ms"].as_f64().unwrap() < 1.1 && shares[8]["ms"].as_f64().unwrap() > 2.9, "{json}");
    }
}
