//! A ledger on a simulated machine whose power, disk and processes fail at random, each time in the same way for the
//! same seed.

mod beside;
mod dice;
mod disk;
mod image;
mod model;
mod names;
mod plan;
mod world;

#[test]
fn nothing_acknowledged_is_lost_whatever_fails() {
    let from: u64 = std::env::var("QUIPU_SIM_FROM").map_or(0, |s| s.parse().unwrap());
    let n: u64 = std::env::var("QUIPU_SIM_SEEDS").map_or(100, |s| s.parse().unwrap());
    for seed in from..from + n {
        match std::panic::catch_unwind(|| world::run(seed, 10, None)) {
            Ok(Ok(r)) => {
                if n < 5 {
                    println!("{seed} {r:?}")
                }
            }
            Ok(Err(e)) => println!("seed {seed}: {}", e.chars().take(600).collect::<String>()),
            Err(_) => println!("seed {seed} PANIC"),
        }
    }
}
