use std::collections::VecDeque;

/// The UIDs that left a folder and the mod-sequences at which they did (RFC 7162 section 5), the newest of them.
#[derive(Debug, Default)]
pub(super) struct Departed {
    kept: VecDeque<(u64, u32)>,
    /// What left up to here may have been dropped from `kept`.
    forgotten: u64,
}

impl Departed {
    /// Notes UIDs that left together, and drops the oldest beyond `most`.
    pub fn add(&mut self, mod_sequence: u64, uids: &[u32], most: usize) {
        self.kept.extend(uids.iter().map(|&uid| (mod_sequence, uid)));
        while self.kept.len() > most {
            self.forgotten = self.kept.pop_front().map_or(self.forgotten, |(dropped, _)| dropped);
        }
    }

    /// What left after a mod-sequence, ascending. `None` if that is too long ago to know.
    pub fn after(&self, mod_sequence: u64) -> Option<Vec<u32>> {
        if mod_sequence < self.forgotten {
            return None;
        }
        let from = self.kept.partition_point(|&(left, _)| left <= mod_sequence);
        let mut uids: Vec<u32> = self.kept.range(from..).map(|&(_, uid)| uid).collect();
        uids.sort_unstable();
        Some(uids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_remembered_and_the_rest_is_known_to_be_unknown() {
        let mut departed = Departed::default();
        departed.add(3, &[7, 9], 3);
        departed.add(5, &[1], 3);
        assert_eq!(departed.after(0), Some(vec![1, 7, 9]));
        assert_eq!((departed.after(3), departed.after(5)), (Some(vec![1]), Some(vec![])));
        departed.add(6, &[2], 3);
        assert_eq!((departed.after(2), departed.after(3)), (None, Some(vec![1, 2])));
    }
}
