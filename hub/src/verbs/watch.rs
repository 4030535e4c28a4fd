//! `watch`: what changes, as it changes.
//!
//! Owns the order and form of watch events: initial events, bookmarks, time limits, errors inside
//! the stream. Start at [`watch`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::StoreError;
use crate::body::{self, HubResponse};
use crate::error::ApiError;
use crate::media::View;
use crate::meta;
use crate::selector::Selector;
use crate::server::{Call, Server};
use crate::store::{Event, EventKind, Key, Page, Subscription};
use crate::verbs::{list, show};

/// How often an idle watch tells the client where it is.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);

/// Longest watch without `timeoutSeconds`; the peer picks 30 to 60 minutes.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(45 * 60);

const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

struct Watch {
    server: Arc<Server>,
    call: Call,
    selector: Selector,
    subscription: Option<Subscription>,
    /// Text that is ready: the initial events.
    ready: Option<Bytes>,
    deadline: Instant,
    next_bookmark: Instant,
    /// A table's columns are told once.
    has_told_columns: bool,
}

/// Answers with a stream of events.
pub(crate) fn watch(server: &Arc<Server>, call: &Call) -> Result<HubResponse, ApiError> {
    let mut selector = list::selector(call)?;
    if let Some(name) = &call.path.name {
        let field = format!("metadata.name={name}");
        selector = Selector::parse(None, Some(&field)).map_err(ApiError::bad_request)?;
    }
    let asked = call.query.text("resourceVersion").unwrap_or_default().to_owned();
    let from: u64 = match asked.as_str() {
        "" => 0,
        text => text.parse().map_err(|_| ApiError::bad_request("resourceVersion is no number"))?,
    };
    let send_initial = call.query.flag_or("sendInitialEvents", from == 0);
    let timeout = call.query.number("timeoutSeconds").filter(|s| *s > 0);
    let now = Instant::now();
    let mut watch = Watch {
        server: server.clone(),
        call: call.clone_head(),
        selector,
        subscription: None,
        ready: None,
        deadline: now + timeout.map_or(DEFAULT_TIMEOUT, Duration::from_secs),
        next_bookmark: now + BOOKMARK_EVERY,
        has_told_columns: false,
    };
    match watch.begin(from, send_initial) {
        Ok(()) => {}
        // The peer answers 200 and says it inside the stream.
        Err(error @ StoreError::Gone { .. }) => {
            let status = ApiError::from_store(&error, &call.kind.about("")).status();
            watch.ready = Some(line("ERROR", &show::to_bytes(&status)));
        }
        Err(error) => return Err(ApiError::from_store(&error, &call.kind.about(""))),
    }
    let steps = futures::stream::unfold(watch, |mut watch| async move {
        watch.next().await.map(|text| (text, watch))
    });
    Ok(body::stream(steps))
}

impl Watch {
    fn begin(&mut self, from: u64, send_initial: bool) -> Result<(), StoreError> {
        let scope = self.call.scope();
        if !send_initial {
            let from = if from == 0 { self.server.store.revision() } else { from };
            self.subscription = Some(self.server.store.subscribe(&scope, from)?);
            return Ok(());
        }
        let current = self.server.store.revision();
        if from > current {
            return Err(StoreError::Future { asked: from, current });
        }
        let (page, subscription) = self.server.store.snapshot_and_subscribe(&scope)?;
        self.subscription = Some(subscription);
        let initial = self.initial_events(&page);
        self.ready = Some(initial);
        Ok(())
    }

    fn initial_events(&mut self, page: &Page) -> Bytes {
        let mut text = Vec::new();
        for (path, entry) in &page.entries {
            let key = Key { resource: self.call.kind.resource.clone(), path: path.clone() };
            if self.selector.matches(&key, entry) {
                let shown = self.show(&entry.bytes());
                text.extend_from_slice(&line("ADDED", &shown));
            }
        }
        let wants_end = self.call.query.flag("sendInitialEvents")
            && self.call.query.flag("allowWatchBookmarks");
        if wants_end {
            text.extend_from_slice(&self.bookmark(page.revision, true));
        }
        text.into()
    }

    async fn next(&mut self) -> Option<Bytes> {
        if let Some(text) = self.ready.take().filter(|t| !t.is_empty()) {
            return Some(text);
        }
        loop {
            let backlog = std::mem::take(&mut self.subscription.as_mut()?.backlog);
            let mut text = Vec::new();
            for event in &backlog {
                text.extend(self.event(event).into_iter().flatten());
            }
            if !text.is_empty() {
                return Some(text.into());
            }
            let wake = self.deadline.min(self.next_bookmark);
            let events = &mut self.subscription.as_mut()?.events;
            tokio::select! {
                // Events first: a deadline must not drop one that is already here.
                biased;
                event = events.recv() => {
                    // The sender is gone: too slow a reader, or the server ends.
                    let mut all = vec![event?];
                    while let Ok(more) = events.try_recv() {
                        all.push(more);
                    }
                    self.subscription.as_mut()?.backlog = all;
                }
                () = tokio::time::sleep_until(wake) => {
                    if Instant::now() >= self.deadline {
                        return None;
                    }
                    self.next_bookmark += BOOKMARK_EVERY;
                    if let Some(text) = self.idle_bookmark() {
                        return Some(text);
                    }
                }
            }
        }
    }

    fn idle_bookmark(&self) -> Option<Bytes> {
        if !self.call.query.flag("allowWatchBookmarks") {
            return None;
        }
        let events = &self.subscription.as_ref()?.events;
        let revision = self.server.store.revision_if_drained(events)?;
        Some(self.bookmark(revision, false))
    }

    fn event(&mut self, event: &Event) -> Option<Bytes> {
        let (before, after) = match event.kind {
            _ if self.selector.is_everything() => {
                (event.kind != EventKind::Added, event.kind != EventKind::Deleted)
            }
            EventKind::Deleted => (self.selector.before_and_after(event).0, false),
            _ => self.selector.before_and_after(event),
        };
        let kind = match (before, after) {
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
            (false, false) => return None,
        };
        if let ("DELETED", EventKind::Modified, Some(previous)) =
            (kind, event.kind, &event.previous)
        {
            // It is still there, but not for this watcher, who sees it as it last matched.
            let mut last = previous.value();
            meta::metadata_mut(&mut last)
                .insert("resourceVersion".into(), event.revision.to_string().into());
            return Some(line(kind, &self.show(&show::to_bytes(&last))));
        }
        Some(line(kind, &self.show(&event.object.bytes())))
    }

    fn show(&mut self, text: &Bytes) -> Bytes {
        let shown = show::object(&self.call, text, self.server.world.now());
        if self.call.view != View::Table || !std::mem::replace(&mut self.has_told_columns, true) {
            return shown;
        }
        let mut table = show::parse(&shown);
        table["columnDefinitions"] = Value::Null;
        show::to_bytes(&table)
    }

    fn bookmark(&self, revision: u64, ends_initial: bool) -> Bytes {
        let kind = &self.call.kind;
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if ends_initial {
            metadata["annotations"] = json!({INITIAL_EVENTS_END: "true"});
        }
        let object: Value = match self.call.view {
            View::Metadata { .. } => json!({"kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1", "metadata": metadata}),
            View::Table => json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1",
                "columnDefinitions": null, "rows": [{"cells": null, "object": {
                    "kind": kind.kind, "apiVersion": kind.api_version(), "metadata": metadata}}],
                "metadata": {"resourceVersion": revision.to_string()}}),
            View::Object => {
                json!({"kind": kind.kind, "apiVersion": kind.api_version(), "metadata": metadata})
            }
        };
        line("BOOKMARK", &show::to_bytes(&object))
    }
}

fn line(kind: &str, object: &Bytes) -> Bytes {
    let mut text = Vec::with_capacity(object.len() + 40);
    text.extend_from_slice(b"{\"type\":\"");
    text.extend_from_slice(kind.as_bytes());
    text.extend_from_slice(b"\",\"object\":");
    text.extend_from_slice(object);
    text.extend_from_slice(b"}\n");
    text.into()
}
