//! Medians, rates, and the table that everything ends in.

use std::fmt;
use std::time::Duration;

/// The same thing measured several times, in one unit.
pub struct Samples(Vec<f64>);

impl Samples {
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        assert!(!values.is_empty(), "nothing was measured");
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The middle value; of an even number of values the mean of the two in the middle.
    pub fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        if self.0.len() % 2 == 1 { self.0[middle] } else { f64::midpoint(self.0[middle - 1], self.0[middle]) }
    }
}

impl fmt::Display for Samples {
    /// Median and extremes: `512 (480–530)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}–{})", number(self.median()), number(self.0[0]), number(self.0[self.0.len() - 1]))
    }
}

/// Things per second.
pub fn rate(count: usize, time: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let count = count as f64;
    count / time.as_secs_f64()
}

/// Milliseconds.
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Three digits are enough: what follows differs from run to run.
pub fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => {
            let digits = format!("{value:.0}");
            let mut text = String::new();
            for (index, digit) in digits.chars().enumerate() {
                if index > 0 && (digits.len() - index).is_multiple_of(3) {
                    text.push(',');
                }
                text.push(digit);
            }
            text
        }
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// What something is compared with.
pub struct Beside<'a> {
    pub name: &'a str,
    pub value: f64,
}

/// The results, in the order in which they were found.
#[derive(Default)]
pub struct Table(Vec<[String; 5]>);

impl Table {
    /// Prints a result at once and keeps it for the end. `aim` is as a person would write it: `≥ 500`, `< 50`.
    pub fn add(&mut self, what: &str, unit: &str, ours: &Samples, aim: Option<&str>, beside: Option<Beside>) {
        println!("{what}: {ours} {unit}");
        let value = format!("{} {unit}", number(ours.median()));
        let (name, ratio) = match beside {
            Some(beside) => {
                let ratio = ours.median() / beside.value;
                println!("    beside {}: {} {unit}, ratio {ratio:.2}", beside.name, number(beside.value));
                (format!("{}: {}", beside.name, number(beside.value)), format!("{ratio:.2}"))
            }
            None => (String::new(), String::new()),
        };
        self.0.push([what.to_owned(), value, aim.unwrap_or_default().to_owned(), name, ratio]);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| What | Postroom | Aim | Beside, same run | Ratio |")?;
        writeln!(f, "| --- | ---: | ---: | --- | ---: |")?;
        self.0.iter().try_for_each(|row| writeln!(f, "| {} |", row.join(" | ")))
    }
}
