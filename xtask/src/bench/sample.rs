//! Takes samples of several programs in turn, and computes medians and quartiles.

use std::array;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};

/// The program that does a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Hermes,
    /// The minimal program.
    Floor,
    /// s6's own tools.
    S6,
    /// supervisord and its `supervisorctl`.
    Supervisord,
    /// The Python implementation.
    Peer,
}

impl Side {
    pub(super) const ALL: [Self; 5] =
        [Self::Hermes, Self::Floor, Self::S6, Self::Supervisord, Self::Peer];

    /// Its name in the report.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hermes => "hermes",
            Self::Floor => "floor",
            Self::S6 => "s6",
            Self::Supervisord => "supervisord",
            Self::Peer => "python",
        }
    }
}

/// The result of one side of a job, in the job's unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figure {
    pub(super) median: f64,
    /// The quartiles: half of all samples lie between them.
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) runs: usize,
}

impl Figure {
    /// None without samples.
    pub(super) fn of(mut samples: Vec<f64>) -> Option<Self> {
        samples.sort_by(f64::total_cmp);
        Some(Self {
            median: quantile(&samples, 0.5)?,
            low: quantile(&samples, 0.25)?,
            high: quantile(&samples, 0.75)?,
            runs: samples.len(),
        })
    }
}

/// Interpolates between the two nearest values of `sorted`.
fn quantile(sorted: &[f64], part: f64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a number of samples")]
    let at = part * sorted.len().checked_sub(1)? as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let (below, above) = (at.floor() as usize, at.ceil() as usize);
    Some(sorted[below] + (sorted[above] - sorted[below]) * at.fract())
}

/// A side, and the function that takes one sample of it.
pub(super) type Sampler<'a, S = f64> = (Side, Box<dyn FnMut() -> Result<S> + 'a>);

/// Takes `runs` samples of each side. The sides take turns in changing order, so that noise, and caches that one side
/// leaves to the next, affect all of them alike. A first round warms up and does not count.
pub(super) fn take(
    runs: usize,
    interrupted: &AtomicBool,
    mut sides: Vec<Sampler<'_>>,
) -> Result<BTreeMap<Side, Figure>> {
    rounds(0..1, interrupted, &mut sides)?;
    Ok(figures(rounds(1..runs + 1, interrupted, &mut sides)?.into_iter()))
}

/// As [`take`], of `N` jobs that follow each other in one sample. Each takes seconds, so no round warms up.
pub(super) fn take_each<const N: usize>(
    runs: usize,
    interrupted: &AtomicBool,
    mut sides: Vec<Sampler<'_, [f64; N]>>,
) -> Result<[BTreeMap<Side, Figure>; N]> {
    let samples = rounds(0..runs, interrupted, &mut sides)?;
    Ok(array::from_fn(|job| figures(samples.iter().map(|(side, times)| (*side, times[job])))))
}

/// One sample of each side for each of these round numbers.
fn rounds<S>(
    numbers: Range<usize>,
    interrupted: &AtomicBool,
    sides: &mut [Sampler<'_, S>],
) -> Result<Vec<(Side, S)>> {
    let mut samples = Vec::new();
    for number in numbers {
        for i in order(number, sides.len()) {
            let (side, take) = &mut sides[i];
            ensure!(!interrupted.load(Ordering::Relaxed), "interrupted");
            samples.push((*side, take()?));
        }
    }
    Ok(samples)
}

fn figures(samples: impl Iterator<Item = (Side, f64)>) -> BTreeMap<Side, Figure> {
    let mut of = BTreeMap::<Side, Vec<f64>>::new();
    samples.for_each(|(side, sample)| of.entry(side).or_default().push(sample));
    let figures = of.into_iter();
    figures.filter_map(|(side, samples)| Some((side, Figure::of(samples)?))).collect()
}

/// The permutation of `items` indices with this number; consecutive numbers give every permutation in turn.
fn order(mut number: usize, items: usize) -> Vec<usize> {
    let mut rest: Vec<_> = (0..items).collect();
    let mut order = Vec::new();
    while !rest.is_empty() {
        order.push(rest.remove(number % rest.len()));
        number /= rest.len() + 1;
    }
    order
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn quartiles_enclose_half_of_the_samples() {
        let figure = Figure::of(vec![5.0, 1.0, 2.0, 4.0, 3.0]).unwrap();
        assert_eq!(figure, Figure { median: 3.0, low: 2.0, high: 4.0, runs: 5 });
        assert_eq!(Figure::of(vec![1.0, 2.0]).map(|figure| figure.median), Some(1.5));
        assert_eq!(Figure::of(Vec::new()), None);
    }

    #[test]
    fn sides_take_turns_and_the_first_round_is_dropped() {
        let order = RefCell::new(Vec::new());
        let side = |side: Side, value: f64| -> Sampler<'_> {
            let order = &order;
            (
                side,
                Box::new(move || {
                    order.borrow_mut().push(side);
                    Ok(value)
                }),
            )
        };
        let sides = vec![side(Side::Hermes, 1.0), side(Side::Floor, 2.0)];
        let figures = take(3, &AtomicBool::new(false), sides).unwrap();
        assert_eq!(
            figures.values().map(|f| (f.median, f.runs)).collect::<Vec<_>>(),
            [(1.0, 3), (2.0, 3)]
        );
        let order = order.take();
        assert_eq!(order.len(), 8);
        assert!(order.chunks(2).any(|round| round[0] == Side::Floor), "{order:?}");
        take(1, &AtomicBool::new(true), vec![side(Side::Hermes, 1.0)]).unwrap_err();
    }

    #[test]
    fn each_job_of_a_sample_has_its_own_figures() {
        let mut run = 0.0;
        let sample = || {
            run += 1.0;
            Ok([run, 10.0 * run])
        };
        let sides: Vec<Sampler<'_, [f64; 2]>> = vec![(Side::Floor, Box::new(sample))];
        let figures = take_each(3, &AtomicBool::new(false), sides).unwrap();
        let shown = figures.map(|job| job.values().map(|f| (f.median, f.runs)).collect::<Vec<_>>());
        assert_eq!(shown, [[(2.0, 3)], [(20.0, 3)]]);
    }

    #[test]
    fn every_order_is_used_equally_often() {
        let orders: BTreeSet<_> = (0..24).map(|number| order(number, 4)).collect();
        assert_eq!(orders.len(), 24);
        for (before, after) in [(0, 1), (1, 0), (3, 0), (2, 3)] {
            let follows = |order: &&Vec<usize>| order.windows(2).any(|two| two == [before, after]);
            assert_eq!(orders.iter().filter(follows).count(), 6);
        }
    }
}
