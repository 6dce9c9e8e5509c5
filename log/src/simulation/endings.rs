//! Work that is ended at each of its calls to the storage, one after the other.

use super::{model::Result, plan::Ending, world::World};

/// Lets `work` be done as often as it has calls to the storage, each time ending one call later, opens the ledger and
/// does what comes `then` before the power is cut. Returns how often.
pub(super) fn at_every_call(
    seed: u64,
    ending: Ending,
    work: impl Fn(&mut World) -> Result,
    then: impl Fn(&mut World) -> Result,
) -> Result<usize> {
    for calls in 1.. {
        let (mut world, _unseed) = World::new(seed, None)?;
        world.step_into_every_scope()?;
        world.disk.state().plan.ending = Some((calls, ending));
        world.disk.state().plan.struck = false;
        let worked = work(&mut world);
        let ended = world.disk.state().plan.struck;
        let at = |e| format!("ending at call {calls}: {e}");
        worked.map_err(at)?;
        world.stop();
        world.open_after(true).map_err(at)?;
        then(&mut world).map_err(at)?;
        world.disk.state().plan.ending = Some((usize::MAX, Ending::PowerCut));
        world.stop();
        world.open_after(true).map_err(at)?;
        if !ended {
            return Ok(calls);
        }
    }
    unreachable!("work has an end")
}
