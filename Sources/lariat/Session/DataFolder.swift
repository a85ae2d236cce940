// Where a coordinator keeps its journal when nobody says.

internal import Cluster
import Foundation

enum DataFolder {
    /// The same as a specification's; nil: no home folder is known.
    static var usual: String? {
        guard let home = ProcessInfo.processInfo.environment["HOME"], home.hasPrefix("/") else { return nil }
        return home + ClusterSpecification.usualData.dropFirst()
    }
}
