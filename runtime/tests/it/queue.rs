use std::sync::{Arc, Mutex};
use std::time::Duration;

use runtime::control_loop::{NextWake, Queue, QueueConfig};
use runtime::{Classify, ErrorClass};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

#[derive(Debug, thiserror::Error)]
#[error("failed as {0}")]
struct Failed(ErrorClass);

impl Classify for Failed {
    fn class(&self) -> ErrorClass {
        self.0
    }
}

fn queue(concurrency: usize) -> Queue<String> {
    let config = QueueConfig { seed: Some(1), ..QueueConfig::concurrency(concurrency) };
    Queue::new("test", config)
}

/// Keys and virtual milliseconds of the passes that were run.
type Log = Arc<Mutex<Vec<(String, u128)>>>;

/// Runs the queue in the background; every pass takes 10 ms and ends as `outcome(key, n-th pass)`.
fn run(
    queue: &Queue<String>,
    outcome: impl Fn(&str, usize) -> Result<NextWake, Failed> + Send + Sync + 'static,
) -> (Log, CancellationToken) {
    let (log, stop, started): (Log, _, _) =
        (Arc::default(), CancellationToken::new(), Instant::now());
    let (queue, passes, shutdown) = (queue.clone(), Arc::clone(&log), stop.clone());
    let outcome = Arc::new(outcome);
    tokio::spawn(async move {
        let pass = |key: String| {
            let (passes, outcome) = (Arc::clone(&passes), Arc::clone(&outcome));
            async move {
                let nth = {
                    let mut passes = passes.lock().unwrap();
                    passes.push((key.clone(), started.elapsed().as_millis()));
                    passes.iter().filter(|(k, _)| *k == key).count()
                };
                tokio::time::sleep(Duration::from_millis(10)).await;
                outcome(&key, nth)
            }
        };
        queue.run(shutdown, pass).await;
    });
    (log, stop)
}

fn keys(log: &Log) -> Vec<String> {
    log.lock().unwrap().iter().map(|(key, _)| key.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_key_waits_once_and_runs_in_the_order_of_adding() {
    let queue = queue(1);
    for key in ["b", "a", "b", "c", "a"] {
        queue.add(key.to_owned());
    }
    let (log, _stop) = run(&queue, |_, _| Ok(NextWake::OnChange));
    queue.idle().await;
    assert_eq!(keys(&log), ["b", "a", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_key_added_during_its_pass_runs_once_more_after_it() {
    let queue = queue(4);
    let (log, _stop) = run(&queue, |_, _| Ok(NextWake::OnChange));
    queue.add("a".to_owned());
    tokio::time::sleep(Duration::from_millis(5)).await;
    queue.add("a".to_owned());
    queue.add("a".to_owned());
    queue.idle().await;
    assert_eq!(*log.lock().unwrap(), [("a".to_owned(), 0), ("a".to_owned(), 10)]);
}

#[tokio::test(start_paused = true)]
async fn no_more_passes_than_allowed_run_at_a_time() {
    let queue = queue(2);
    let (log, _stop) = run(&queue, |_, _| Ok(NextWake::OnChange));
    for n in 0..6 {
        queue.add(n.to_string());
    }
    queue.idle().await;
    let starts: Vec<u128> = log.lock().unwrap().iter().map(|(_, at)| *at).collect();
    assert_eq!(starts, [0, 0, 10, 10, 20, 20].map(|ms| ms + starts[0]));
}

#[tokio::test(start_paused = true)]
async fn the_class_of_an_error_decides_on_the_retry() {
    let queue = queue(8);
    let (log, _stop) = run(&queue, |key, nth| match (key, nth) {
        ("user", _) => Err(Failed(ErrorClass::User)),
        ("conflict", 1) => Err(Failed(ErrorClass::Conflict)),
        ("unavailable", 1..=3) => Err(Failed(ErrorClass::Unavailable)),
        ("bug", _) => Err(Failed(ErrorClass::Bug)),
        ("panic", 1) => panic!("on purpose"),
        _ => Ok(NextWake::OnChange),
    });
    for key in ["user", "conflict", "unavailable", "bug", "panic"] {
        queue.add(key.to_owned());
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    let count = |wanted: &str| keys(&log).iter().filter(|key| *key == wanted).count();
    let counts = ["user", "conflict", "unavailable", "bug", "panic"].map(count);
    assert_eq!(counts, [1, 2, 4, 1, 1]);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!((count("bug"), count("panic"), count("user")), (2, 2, 1));
    let unavailable: Vec<u128> = {
        let log = log.lock().unwrap();
        log.iter().filter(|(key, _)| key == "unavailable").map(|(_, at)| *at).collect()
    };
    assert!(unavailable.windows(3).all(|w| w[2] - w[1] > w[1] - w[0]), "{unavailable:?}");
}

#[tokio::test(start_paused = true)]
async fn the_earlier_wake_wins_and_a_change_comes_first() {
    let queue = queue(1);
    queue.add_after("a".to_owned(), Duration::from_secs(60));
    queue.add_after("a".to_owned(), Duration::from_secs(5));
    queue.add_after("a".to_owned(), Duration::from_secs(30));
    let (log, _stop) = run(&queue, |_, nth| {
        Ok(if nth == 1 { NextWake::After(Duration::from_secs(100)) } else { NextWake::OnChange })
    });
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(*log.lock().unwrap(), [("a".to_owned(), 5000)]);
    queue.add("a".to_owned());
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(*log.lock().unwrap(), [("a".to_owned(), 5000), ("a".to_owned(), 10_000)]);
}

#[tokio::test(start_paused = true)]
async fn shutdown_lets_running_passes_end_and_starts_no_other() {
    let queue = queue(1);
    let (log, stop) = run(&queue, |_, _| Ok(NextWake::OnChange));
    queue.add("a".to_owned());
    queue.add("b".to_owned());
    tokio::time::sleep(Duration::from_millis(1)).await;
    stop.cancel();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(keys(&log), ["a"]);
    assert_eq!(queue.stats().pass_count, 1);
}
