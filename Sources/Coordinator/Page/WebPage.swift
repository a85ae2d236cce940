// The coordinator's web page, as files in the binary. No I/O.

/// The page's files and the headers that they are to be served with.
///
/// The page asks `api/v1/...` for everything it shows, relative to where it is served itself.
package enum WebPage {
    /// A file of the page.
    package struct Asset: Sendable {
        /// Path below the page's own, without a leading slash; the empty path is the page itself.
        package let path: String
        /// Value of the Content-Type header.
        package let contentType: String
        package let bytes: [UInt8]
        /// Value of the ETag header: changes with the bytes.
        package let entityTag: String

        init(_ path: String, _ contentType: String, _ bytes: [UInt8]) {
            self.path = path
            self.contentType = contentType
            self.bytes = bytes
            // FNV-1a, for one file's versions only: nobody gains by a collision.
            var hash: UInt64 = 0xcbf2_9ce4_8422_2325
            for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
            entityTag = "\"\(String(hash, radix: 16))-\(bytes.count)\""
        }
    }

    /// All files; none needs a token, as none says anything of the cluster.
    package static let assets: [Asset] = [
        Asset("", html, PackageResources.index_html),
        Asset("app.js", script, PackageResources.app_js),
        Asset("charts.js", script, PackageResources.charts_js),
        Asset("contexts.js", script, PackageResources.contexts_js),
        Asset("dom.js", script, PackageResources.dom_js),
        Asset("feed.js", script, PackageResources.feed_js),
        Asset("format.js", script, PackageResources.format_js),
        Asset("icon.svg", "image/svg+xml", PackageResources.icon_svg),
        Asset("job.js", script, PackageResources.job_js),
        Asset("overview.js", script, PackageResources.overview_js),
        Asset("page.css", "text/css; charset=utf-8", PackageResources.page_css),
        Asset("ring.js", script, PackageResources.ring_js),
        Asset("state.js", script, PackageResources.state_js),
    ]

    /// The file at a path such as `/app.js`; nil when there is none.
    package static func asset(at path: String) -> Asset? {
        byPath[path.hasPrefix("/") ? String(path.dropFirst()) : path]
    }

    /// Headers for every file. Nothing runs but the page's own scripts, nothing is asked of other hosts, and no other
    /// site may show the page in a frame.
    package static let headers: [(name: String, value: String)] = [
        (
            "Content-Security-Policy",
            "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
        ),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        // Asked for again each time, and answered with 304 when the ETag still holds: no page of an older binary.
        ("Cache-Control", "no-cache"),
    ]

    private static let html = "text/html; charset=utf-8"
    private static let script = "text/javascript; charset=utf-8"
    private static let byPath = Dictionary(uniqueKeysWithValues: assets.map { ($0.path, $0) })
}
