//! Steps, done one after the other, and how long each took.

use rustix::time::{ClockId, clock_gettime};

use super::deadline::Watched;
use super::failure::Failure;
use super::refusal::{self, Refusal};
use super::step::Step;

/// How far the start has come.
#[derive(Debug)]
pub(super) struct Progress {
    started_ms: u64,
    steps_ms: Vec<(String, u64)>,
    /// Who is told which step it is.
    watched: Option<Watched>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { started_ms: now_ms(), steps_ms: Vec::new(), watched: None }
    }

    /// From now on there is a deadline.
    pub(super) fn watch(&mut self, watched: Watched) {
        self.watched = Some(watched);
    }

    /// Does a step.
    ///
    /// # Errors
    /// As `work`; and as [`Watched::at`], which does not return after the deadline.
    pub(super) fn step<T>(
        &mut self,
        step: Step,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Refusal> {
        refusal::at(step);
        let refused = |failure| Refusal { step, failure };
        if let Some(watched) = &mut self.watched {
            watched.at(step).map_err(refused)?;
        }
        let begun_ms = now_ms();
        let done = work().map_err(refused)?;
        self.steps_ms.push((step.name().to_owned(), now_ms().saturating_sub(begun_ms)));
        Ok(done)
    }

    /// When it began, in milliseconds since the kernel did.
    pub(super) const fn started_ms(&self) -> u64 {
        self.started_ms
    }

    /// The steps that were done, and how long each took, in milliseconds.
    pub(super) fn steps_ms(&self) -> &[(String, u64)] {
        &self.steps_ms
    }
}

/// Milliseconds since the kernel's start. What time of day it is nothing here asks: a clock at 1970 is as good as any.
pub(super) fn now_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let milliseconds = now.tv_sec.saturating_mul(1000).saturating_add(now.tv_nsec / 1_000_000);
    u64::try_from(milliseconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_told_and_what_failed_names_its_step() {
        let mut progress = Progress::new();
        assert_eq!(progress.step(Step::Mounts, || Ok(7)), Ok(7));
        let refused = progress.step(Step::Data, || Err::<(), _>(Failure::new("no"))).unwrap_err();
        assert_eq!(refused.step, Step::Data);
        let names: Vec<&str> = progress.steps_ms().iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["mounts"]);
        assert!(progress.started_ms() <= now_ms());
    }
}
