//! Response bodies: one piece of text, or a stream of watch events.
//!
//! Owns [`HubBody`] and the response builders. Start at [`json`].

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use http::{Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use serde_json::Value;

use crate::error::ApiError;

/// The body of a response of the hub.
pub enum HubBody {
    /// All of it, until it was taken.
    Whole(Option<Bytes>),
    /// Pieces as they come; ends when the watch ends.
    Stream(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
}

impl Body for HubBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            HubBody::Whole(text) => Poll::Ready(text.take().map(|t| Ok(Frame::data(t)))),
            HubBody::Stream(stream) => {
                stream.as_mut().poll_next(cx).map(|piece| piece.map(|p| Ok(Frame::data(p))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, HubBody::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            HubBody::Whole(text) => {
                SizeHint::with_exact(text.as_ref().map_or(0, |t| t.len() as u64))
            }
            HubBody::Stream(_) => SizeHint::default(),
        }
    }
}

pub(crate) type HubResponse = Response<HubBody>;

fn build(code: u16, media: &'static str, body: HubBody) -> HubResponse {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(media));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-cache, private"));
    response
}

/// JSON text that is ready to send.
pub(crate) fn raw_json(code: u16, text: Bytes) -> HubResponse {
    build(code, "application/json", HubBody::Whole(Some(text)))
}

pub(crate) fn json(code: u16, value: &Value) -> HubResponse {
    raw_json(code, serde_json::to_vec(value).unwrap_or_default().into())
}

pub(crate) fn json_as(media: &'static str, value: &Value) -> HubResponse {
    let text = serde_json::to_vec(value).unwrap_or_default();
    build(200, media, HubBody::Whole(Some(text.into())))
}

pub(crate) fn text(code: u16, text: &str) -> HubResponse {
    let body = HubBody::Whole(Some(Bytes::copy_from_slice(text.as_bytes())));
    build(code, "text/plain; charset=utf-8", body)
}

pub(crate) fn stream(stream: impl Stream<Item = Bytes> + Send + 'static) -> HubResponse {
    build(200, "application/json", HubBody::Stream(Box::pin(stream)))
}

pub(crate) fn error(error: &ApiError) -> HubResponse {
    json(error.code, &error.status())
}

/// Adds a `Warning` header, the way kubectl prints it.
pub(crate) fn warn(mut response: HubResponse, warnings: &[String]) -> HubResponse {
    for warning in warnings {
        let clean: String = warning.chars().filter(|c| !c.is_control()).collect();
        let value = format!("299 - {clean:?}");
        if let Ok(value) = header::HeaderValue::from_str(&value) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    response
}
