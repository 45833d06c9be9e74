/// A set of sequence numbers or UIDs (RFC 3501 section 9): ranges, in which `*` stands for the largest in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SequenceSet(Vec<(Bound, Bound)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Number(u32),
    Last,
}

impl SequenceSet {
    pub fn parse(text: &str) -> Option<Self> {
        let bound = |text: &str| match text {
            "*" => Some(Bound::Last),
            _ if text.starts_with('+') => None,
            _ => text.parse().ok().filter(|&number| number != 0).map(Bound::Number),
        };
        let range = |text: &str| match text.split_once(':') {
            Some((from, to)) => Some((bound(from)?, bound(to)?)),
            None => bound(text).map(|bound| (bound, bound)),
        };
        text.split(',').map(range).collect::<Option<Vec<_>>>().map(Self)
    }

    /// The set in numbers, where `last` is the largest in use: sorted ranges that do not touch each other.
    pub fn resolve(&self, last: u32) -> Ranges {
        let number = |bound| match bound {
            Bound::Number(number) => number,
            Bound::Last => last,
        };
        let mut ranges: Vec<(u32, u32)> =
            self.0.iter().map(|&(from, to)| (number(from), number(to))).map(|(a, b)| (a.min(b), a.max(b))).collect();
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (from, to) in ranges {
            match merged.last_mut() {
                Some((_, end)) if from <= end.saturating_add(1) => *end = to.max(*end),
                _ => merged.push((from, to)),
            }
        }
        Ranges(merged)
    }
}

/// Numbers (ascending) as a set, the shortest there is: `2:4,9`.
pub(super) fn written(numbers: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some((_, end)) if number == end.saturating_add(1) => *end = number,
            _ => ranges.push((number, number)),
        }
    }
    let range = |(from, to): (u32, u32)| if from == to { from.to_string() } else { format!("{from}:{to}") };
    ranges.into_iter().map(range).collect::<Vec<_>>().join(",")
}

/// A resolved set.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ranges(Vec<(u32, u32)>);

impl Ranges {
    pub fn contains(&self, number: u32) -> bool {
        let after = self.0.partition_point(|&(from, _)| from <= number);
        after > 0 && number <= self.0[after - 1].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_the_largest_and_ranges_run_both_ways() {
        let set = |text| SequenceSet::parse(text).unwrap();
        assert_eq!(set("3,1:2,9:7,20").resolve(30), Ranges(vec![(1, 3), (7, 9), (20, 20)]));
        assert_eq!(set("5:*").resolve(3), Ranges(vec![(3, 5)]));
        assert_eq!(set("*").resolve(3), Ranges(vec![(3, 3)]));
        let ranges = set("2:3,6").resolve(9);
        let held: Vec<u32> = (0..9).filter(|&number| ranges.contains(number)).collect();
        assert_eq!(held, [2, 3, 6]);
        assert_eq!((written(&[2, 3, 4, 9, 11, 12]), written(&[])), ("2:4,9,11:12".into(), String::new()));
        for bad in ["", "0", "1,", "a", "1:2:3", "-1", "+1", "4294967296", ":"] {
            assert_eq!(SequenceSet::parse(bad), None, "{bad}");
        }
    }
}
