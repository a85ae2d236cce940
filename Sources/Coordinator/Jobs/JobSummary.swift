// A job's record without what may be long: for lists and for events.
package import Messages

extension JobRecord {
    /// Without the texts and tables that its options may have, up to a mebibyte each.
    package var withoutLongOptions: JobRecord {
        var short = self
        short.options?.system = ""
        short.options?.chatTemplate = ""
        short.options?.stop = []
        short.options?.rope?.tables = []
        return short
    }

    /// What fits a list of jobs: also without the answer, rotary factors and ring steps.
    package var summary: JobRecord {
        var short = withoutLongOptions
        short.text = []
        short.profile?.factors = []
        for rank in short.shares.indices { short.shares[rank].steps = [] }
        return short
    }
}
