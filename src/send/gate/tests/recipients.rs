//! A provider that counts recipients, by chance: its window is as exact as those that count mailings.

use super::*;

const PER_DAY: u64 = 10_000;

/// The recipients of a mailing, by what a step says.
fn many(step: u64) -> u64 {
    [1, 2_400, 6_000][usize::try_from(step).unwrap() % 3]
}

#[derive(Default)]
struct Seen {
    watch: i64,
    under_way: Vec<(u64, u64)>,
    left: Vec<(i64, u64)>,
    restarts: i64,
}

impl Seen {
    /// The recipients that count, when each does for `slack` longer than it should.
    fn counted(&self, slack: i64) -> u64 {
        let after = self.watch - i64::try_from(DAY.as_millis()).unwrap() - slack;
        let left = self.left.iter().filter(|(at, _)| *at > after).map(|(_, count)| count);
        left.chain(self.under_way.iter().map(|(_, count)| count)).sum()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn no_day_ever_holds_more_recipients_than_the_provider_takes(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut bench = Bench::new(json!({"emailProvider": "office_365", "sendRequiresSync": false})).await;
            let start = bench.clock.now();
            let mut seen = Seen::default();
            for step in steps {
                match step {
                    Step::Pass(millis) => {
                        bench.clock.advance(Duration::from_millis(millis));
                        seen.watch += i64::try_from(millis).unwrap();
                    }
                    Step::Set(error) => bench.set_clock(Timestamp::from_millis(start.millis() + seen.watch + error)).await,
                    Step::Try(size) => {
                        let count = many(size);
                        match bench.ask_for(count) {
                            Gate::Go => {
                                assert!(seen.counted(0) + count <= PER_DAY, "{} and {count}", seen.counted(0));
                                seen.under_way.push((bench.hold(count).await, count));
                            }
                            Gate::NotBefore { at, reason, .. } => {
                                assert!(at > bench.clock.now());
                                assert!(seen.counted(5 * seen.restarts) + count > PER_DAY, "{reason}");
                            }
                            Gate::Hold { reason, .. } => panic!("{reason}"),
                        }
                    }
                    Step::End(index, left) => if !seen.under_way.is_empty() {
                        let (mailing, count) = seen.under_way.remove(index.index(seen.under_way.len()));
                        bench.end(mailing, left).await;
                        if left {
                            seen.left.push((seen.watch, count));
                        }
                    },
                    Step::Restart => {
                        bench = bench.restart().await;
                        seen.restarts += 1;
                        for (mailing, count) in std::mem::take(&mut seen.under_way) {
                            bench.end(mailing, true).await;
                            seen.left.push((seen.watch, count));
                        }
                    }
                    Step::Doubt(_) | Step::GiveBack(_) | Step::Receive(_) => {}
                }
            }
        });
    }
}
