// The web page's files as the binary has them. What they do in a browser is tested in Tests/Pages.

import CoordinatorPage
import Foundation
import Testing

@Suite struct WebPageTests {
    /// The folder of the page's sources.
    private static let folder = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Sources/Coordinator/Page")

    @Test(arguments: WebPage.assets.map(\.path))
    func assetsAreTheFiles(path: String) throws {
        let file = Self.folder.appendingPathComponent(path.isEmpty ? "index.html" : path)
        let asset = try #require(WebPage.asset(at: "/" + path))
        #expect(try Data(contentsOf: file) == Data(asset.bytes))
        #expect(String(decoding: asset.bytes, as: UTF8.self).utf8.elementsEqual(asset.bytes))
        #expect(
            asset.contentType.hasPrefix(path.hasSuffix(".js") ? "text/javascript" : "text/html")
                || !path.isEmpty)
    }

    @Test func pathsAndTagsAreTheirOwn() {
        #expect(Set(WebPage.assets.map(\.path)).count == WebPage.assets.count)
        #expect(Set(WebPage.assets.map(\.entityTag)).count == WebPage.assets.count)
        #expect(WebPage.assets.allSatisfy { $0.entityTag.hasPrefix("\"") && $0.entityTag.hasSuffix("\"") })
    }

    @Test(arguments: ["/nothing.js", "/../page.css", "//page.css", "/WebPage.swift", "/index.html"])
    func otherPathsAreNone(path: String) { #expect(WebPage.asset(at: path) == nil) }

    @Test func thePolicyAllowsThePageOnly() throws {
        let policy = try #require(WebPage.headers.first { $0.name == "Content-Security-Policy" }?.value)
        #expect(policy.hasPrefix("default-src 'self';"))
        #expect(!policy.contains("unsafe"))
    }
}
