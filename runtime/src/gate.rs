//! How many requests of one client are under way at the same time.
//!
//! Owns the bound. Knows nothing of what is asked. Start at [`Gate`].
//!
//! The client speaks HTTP/1.1: every request that is under way has a connection of its own, with its
//! handshake and its buffers. What is asked beyond the bound would only queue up inside the API
//! server. A watch counts until its headers came, not for as long as it lasts.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use tokio::sync::Semaphore;
use tower::{Layer, Service};

/// Wraps a client's service in the bound.
#[derive(Clone, Debug)]
pub struct Gate {
    places: Arc<Semaphore>,
}

impl Gate {
    /// At most `count` requests at a time, those of all clients that share this gate together.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(count.max(1))) }
    }
}

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { inner, places: Arc::clone(&self.places) }
    }
}

/// A service behind a [`Gate`].
#[derive(Clone, Debug)]
pub struct Gated<S> {
    inner: S,
    places: Arc<Semaphore>,
}

impl<S, R> Service<R> for Gated<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        // The services of clients do nothing before they are polled for the first time.
        let answer = self.inner.call(request);
        let places = Arc::clone(&self.places);
        Box::pin(async move {
            // The semaphore is never closed: without a place there is no error either.
            let _place = places.acquire_owned().await.ok();
            answer.await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;
    use tower::ServiceExt as _;

    #[tokio::test(start_paused = true)]
    async fn never_more_than_the_bound_are_under_way_and_all_are_answered() {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (running, highest) = (Arc::clone(&now), Arc::clone(&most));
        let slow = tower::service_fn(move |number: usize| {
            let (running, highest) = (Arc::clone(&running), Arc::clone(&highest));
            async move {
                highest.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
                running.fetch_sub(1, Ordering::SeqCst);
                Ok::<usize, std::convert::Infallible>(number)
            }
        });
        let service = Gate::new(4).layer(slow);
        let calls = (0..50).map(|number| service.clone().oneshot(number));
        let answers: Vec<_> = futures::future::join_all(calls).await;
        assert!(answers.into_iter().eq((0..50).map(Ok)));
        assert_eq!(most.load(Ordering::SeqCst), 4);
    }
}
