//! The routes: a method and a path become one variant, once.

use http::Method;
use matchit::Router;
use percent_encoding::percent_decode_str;

use super::Error;

/// What a request asks for. The variant also names the request in logs and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    ListImages,
    CreateImage,
    ShowImage { image: String },
    UpdateImage { image: String },
    DeleteImage { image: String },
    UploadImage { image: String },
    DownloadImage { image: String },
}

/// A path of the API, whatever the method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resource {
    Images,
    Image,
    ImageFile,
}

/// Finds the endpoint of a request.
pub struct Routes {
    router: Router<Resource>,
}

impl Routes {
    /// # Errors
    /// Two paths of the table contradict each other: a mistake in this file.
    pub fn new() -> Result<Self, matchit::InsertError> {
        let mut router = Router::new();
        router.insert("/v2/images", Resource::Images)?;
        router.insert("/v2/images/{image}", Resource::Image)?;
        router.insert("/v2/images/{image}/file", Resource::ImageFile)?;
        Ok(Self { router })
    }

    /// The endpoint for `method` on `path`, still percent-encoded.
    ///
    /// # Errors
    /// 404 for an unknown path, 501 for one with a method that the API does not have at all, 405 with `Allow` for a known path.
    pub fn find(&self, method: &Method, path: &str) -> Result<Endpoint, Error> {
        let Ok(found) = self.router.at(path) else { return Err(unknown_path(method)) };
        let parameter = |name: &str| {
            let text = found.params.get(name).unwrap_or_default();
            percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned)
        };
        let Ok(image) = parameter("image") else { return Err(Error::not_found_path()) };
        let endpoint = match (found.value, method) {
            (Resource::Images, &Method::GET) => Endpoint::ListImages,
            (Resource::Images, &Method::POST) => Endpoint::CreateImage,
            (Resource::Image, &Method::GET) => Endpoint::ShowImage { image },
            (Resource::Image, &Method::PATCH) => Endpoint::UpdateImage { image },
            (Resource::Image, &Method::DELETE) => Endpoint::DeleteImage { image },
            (Resource::ImageFile, &Method::GET) => Endpoint::DownloadImage { image },
            (Resource::ImageFile, &Method::PUT) => Endpoint::UploadImage { image },
            (resource, _) => return Err(Error::method_not_allowed(method, resource.allow())),
        };
        Ok(endpoint)
    }
}

impl Resource {
    /// The `Allow` header of a refused method, in upstream's order.
    const fn allow(self) -> &'static str {
        match self {
            Self::Images => "GET, POST",
            Self::Image => "GET, PATCH, DELETE",
            Self::ImageFile => "GET, PUT",
        }
    }
}

impl Endpoint {
    /// A name for logs and metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::ListImages => "list_images",
            Self::CreateImage => "create_image",
            Self::ShowImage { .. } => "show_image",
            Self::UpdateImage { .. } => "update_image",
            Self::DeleteImage { .. } => "delete_image",
            Self::UploadImage { .. } => "upload_image",
            Self::DownloadImage { .. } => "download_image",
        }
    }

    /// Whether a request with a body is refused before anything else.
    pub const fn refuses_body(&self) -> bool {
        matches!(self, Self::ShowImage { .. } | Self::DeleteImage { .. } | Self::DownloadImage { .. })
    }

    /// Whether a caller who may only read is refused.
    pub const fn changes(&self) -> bool {
        !matches!(self, Self::ListImages | Self::ShowImage { .. } | Self::DownloadImage { .. })
    }
}

fn unknown_path(method: &Method) -> Error {
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::PATCH];
    if known.contains(method) { Error::not_found_path() } else { Error::not_implemented_method(method) }
}
