//! A store that speaks the S3 protocol, with its buckets in a folder.

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use std::path::Path;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The key and the secret that it knows.
const KEY: &str = "backups";
const SECRET: &str = "a secret of the store";

/// A running store. Dropping it ends it.
pub struct S3 {
    port: u16,
    serving: JoinHandle<()>,
}

impl S3 {
    /// Serves this folder, each folder in it a bucket.
    ///
    /// # Panics
    /// When it can't be served.
    pub async fn serves(folder: &Path) -> Self {
        let mut service =
            S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder).expect("a folder can be served"));
        service.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = service.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
        let port = listener.local_addr().expect("it has one").port();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
                tokio::spawn(connection);
            }
        });
        Self { port, serving }
    }

    /// What a program must know to use it.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ENDPOINT", format!("http://127.0.0.1:{}", self.port)),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "here".to_owned()),
            ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
        ]
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
