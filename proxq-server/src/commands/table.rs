//! Tables for people: columns that line up, texts that a terminal may show.

use super::printable::printable;
use super::terminal::cut;

/// The space between two columns.
const GAP: &str = "  ";

/// Rows under a head.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(ToString::to_string).collect()] }
    }

    /// Adds a row with as many cells as the head has.
    pub(super) fn row(&mut self, cells: &[String]) {
        self.rows.push(cells.iter().map(|cell| printable(cell).into_owned()).collect());
    }

    /// Whether there is nothing but the head.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    /// The lines. With a width, what does not fit into it is cut off; the columns that matter stand to the left.
    pub(super) fn lines(&self, columns: Option<usize>) -> Vec<String> {
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.rows[0].len()).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            let line = cells.collect::<Vec<_>>().join(GAP);
            let line = columns.map_or(&*line, |columns| cut(&line, columns));
            line.trim_end().to_owned()
        };
        self.rows.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_nothing_is_cut_without_a_width() {
        let mut table = Table::new(&["ID", "WHY"]);
        assert!(table.is_empty());
        table.row(&["long id".to_owned(), "a\u{1b}b".to_owned()]);
        table.row(&["ü".to_owned(), String::new()]);
        assert_eq!(table.lines(None), ["ID       WHY", "long id  a\\u{1b}b", "ü"]);
        assert_eq!(table.lines(Some(10)), ["ID       W", "long id  a", "ü"]);
    }
}
