// oneDNN: matrix products with weights in its own layout. One primitive for each shape, shared by all threads; every
// thread brings its own stream and scratchpad. Threads that call have set OpenMP to one thread.
internal import COneDNN
internal import Synchronization

/// Throws when oneDNN returned anything but success.
private func check(_ status: dnnl_status_t, _ operation: String) throws(KernelError) {
    guard status == dnnl_success else { throw .oneDNN(operation: operation, status: UInt32(status.rawValue)) }
}

/// oneDNN's engine and a stream for each compute thread.
@safe
private final class Streams: @unchecked Sendable {
    let engine: dnnl_engine_t
    private var streams: [dnnl_stream_t]

    init(threads: Int) throws(KernelError) {
        var engine: dnnl_engine_t?
        try check(unsafe dnnl_engine_create(&engine, dnnl_cpu, 0), "start")
        guard let engine = unsafe engine else { throw .oneDNN(operation: "start", status: 0) }
        unsafe self.engine = unsafe engine
        unsafe streams = []
        for _ in 0..<threads {
            var stream: dnnl_stream_t?
            try check(
                unsafe dnnl_stream_create(&stream, engine, dnnl_stream_default_flags.rawValue),
                "start a stream")
            if let stream = unsafe stream { unsafe streams.append(stream) }
        }
    }

    deinit {
        for index in unsafe streams.indices { unsafe _ = dnnl_stream_destroy(streams[index]) }
        unsafe _ = dnnl_engine_destroy(engine)
    }

    func stream(_ thread: Int) -> dnnl_stream_t { unsafe streams[thread] }
}

/// The oneDNN side of one `Compute`. Nothing of oneDNN is touched before the first shape is asked for.
final class DenseEngine: Sendable {
    private struct Key: Hashable {
        var rows, columns: Int
        var bf16: Bool
    }
    private struct State {
        var streams: Streams?
        var shapes: [Key: DenseShape] = [:]
    }
    private let threads: Int
    private let state = Mutex(State())

    init(threads: Int) { self.threads = threads }

    /// Products with weights of `[rows, columns]` = `[outputs, inputs]`.
    func shape(rows: Int, columns: Int, bf16: Bool) throws(KernelError) -> DenseShape {
        try state.withLock { state throws(KernelError) in
            let key = Key(rows: rows, columns: columns, bf16: bf16)
            if let known = state.shapes[key] { return known }
            let streams: Streams
            if let started = state.streams {
                streams = started
            } else {
                streams = try Streams(threads: threads)
            }
            state.streams = streams
            let shape = try DenseShape(rows: rows, columns: columns, bf16: bf16, streams: streams)
            state.shapes[key] = shape
            return shape
        }
    }
}

/// A compiled product y `[m, rows]` (+)= x `[m, columns]` times weights transposed, for one number m.
@safe
private final class Product: @unchecked Sendable {
    let primitive: dnnl_primitive_t
    let x, weights, y, scratchpad: dnnl_memory_desc_t
    let scratchpadBytes: Int

    /// `weights`: the layout to use; nil lets oneDNN choose.
    init(
        m: Int, rows: Int, columns: Int, type: dnnl_data_type_t, weights layout: dnnl_memory_desc_t?,
        accumulate: Bool,
        engine: dnnl_engine_t
    ) throws(KernelError) {
        var x = dnnl_memory_desc_t()
        var weights = dnnl_memory_desc_t()
        var y = dnnl_memory_desc_t()
        try check(
            unsafe dnnl_memory_desc_init_by_tag(&x, 2, [Int64(m), Int64(columns)], type, dnnl_ab),
            "describe x")
        if let layout = layout {
            weights = layout
        } else {
            try check(
                unsafe dnnl_memory_desc_init_by_tag(
                    &weights, 2, [Int64(columns), Int64(rows)], type, dnnl_format_tag_any), "describe weights"
            )
        }
        try check(
            unsafe dnnl_memory_desc_init_by_tag(&y, 2, [Int64(m), Int64(rows)], dnnl_f32, dnnl_ab),
            "describe y")
        var product = dnnl_matmul_desc_t()
        try check(unsafe dnnl_matmul_desc_init(&product, &x, &weights, nil, &y), "describe a product")

        var attributes: dnnl_primitive_attr_t?
        try check(unsafe dnnl_primitive_attr_create(&attributes), "set attributes")
        defer { unsafe _ = dnnl_primitive_attr_destroy(attributes) }
        try check(
            unsafe dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user),
            "set attributes")
        if accumulate {
            var after: dnnl_post_ops_t?
            try check(unsafe dnnl_post_ops_create(&after), "set attributes")
            defer { unsafe _ = dnnl_post_ops_destroy(after) }
            try check(unsafe dnnl_post_ops_append_sum(after, 1), "set attributes")
            try check(unsafe dnnl_primitive_attr_set_post_ops(attributes, after), "set attributes")
        }
        var description: dnnl_primitive_desc_t?
        try check(
            unsafe dnnl_primitive_desc_create(&description, &product, attributes, engine, nil),
            "find a product of \(m) x \(columns) with \(rows) outputs")
        defer { unsafe _ = dnnl_primitive_desc_destroy(description) }
        guard
            let chosen = unsafe dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 0),
            let working = unsafe dnnl_primitive_desc_query_md(description, dnnl_query_scratchpad_md, 0)
        else { throw .oneDNN(operation: "describe a layout", status: 0) }
        var primitive: dnnl_primitive_t?
        try check(unsafe dnnl_primitive_create(&primitive, description), "compile a product")
        guard let primitive = unsafe primitive else {
            throw .oneDNN(operation: "compile a product", status: 0)
        }
        unsafe self.primitive = unsafe primitive
        self.x = x
        self.y = y
        self.weights = unsafe chosen.pointee
        scratchpad = unsafe working.pointee
        scratchpadBytes = unsafe Int(dnnl_memory_desc_get_size(working))
    }

    deinit { unsafe _ = dnnl_primitive_destroy(primitive) }
}

/// A piece of memory as oneDNN sees it.
@safe
private struct Memory: ~Copyable {
    let handle: dnnl_memory_t

    init(_ description: dnnl_memory_desc_t, _ engine: dnnl_engine_t, _ bytes: UnsafeMutableRawPointer?)
        throws(KernelError)
    {
        var description = description
        var handle: dnnl_memory_t?
        try check(unsafe dnnl_memory_create(&handle, &description, engine, bytes), "describe memory")
        guard let handle = unsafe handle else { throw .oneDNN(operation: "describe memory", status: 0) }
        unsafe self.handle = unsafe handle
    }

    deinit { unsafe _ = dnnl_memory_destroy(handle) }
}

/// Where a weight lies in packed memory, when oneDNN's layout is blocks of `width` outputs by 16 words (a word is a
/// float32 or two bfloat16 along the inputs): `pack_words` writes that directly. In words.
struct WordBlocks {
    var width, outputStride, inputStride: Int
}

/// Products with weights of one shape: the layout and a compiled product for each number of rows in use.
@safe
final class DenseShape: @unchecked Sendable {
    let rows, columns: Int
    let bf16: Bool
    let bytes: Int
    /// nil when oneDNN chose another kind of layout: then `reorder` copies.
    let blocks: WordBlocks?
    private struct Key: Hashable {
        var m: Int
        var accumulate: Bool
    }
    private let streams: Streams
    private let layout: dnnl_memory_desc_t
    private let products = Mutex<[Key: Product]>([:])
    private var type: dnnl_data_type_t { bf16 ? dnnl_bf16 : dnnl_f32 }

    /// Numbers of rows that products are compiled for; any number is cut into these. Small, because the weights
    /// are read from the nearest cache anyway and small pieces are shared out more evenly.
    static let pieces = [64, 32, 16, 8, 4, 2, 1]

    fileprivate init(rows: Int, columns: Int, bf16: Bool, streams: Streams) throws(KernelError) {
        self.rows = rows
        self.columns = columns
        self.bf16 = bf16
        self.streams = streams
        let first = unsafe try Product(
            m: Self.pieces[0], rows: rows, columns: columns, type: bf16 ? dnnl_bf16 : dnnl_f32, weights: nil,
            accumulate: false, engine: streams.engine)
        layout = first.weights
        var description = layout
        bytes = unsafe Int(dnnl_memory_desc_get_size(&description))
        blocks = Self.wordBlocks(of: description, rows: rows, columns: columns, bf16: bf16)
        products.withLock { $0[Key(m: Self.pieces[0], accumulate: false)] = first }
    }

    private static func wordBlocks(
        of layout: dnnl_memory_desc_t, rows: Int, columns: Int, bf16: Bool
    ) -> WordBlocks? {
        // Dimension 0 is the inputs, dimension 1 the outputs.
        let b = unsafe layout.format_desc.blocking
        let perWord = bf16 ? 2 : 1
        let width = Int(b.inner_blks.1)
        guard layout.format_kind == dnnl_blocked, layout.offset0 == 0, b.inner_nblks == (bf16 ? 3 : 2),
            b.inner_idxs.0 == 0, b.inner_blks.0 == 16, b.inner_idxs.1 == 1, width % 16 == 0, width > 0,
            !bf16 || (b.inner_idxs.2 == 0 && b.inner_blks.2 == 2),
            layout.padded_dims.0 == Int64((columns + 16 * perWord - 1) / (16 * perWord) * 16 * perWord),
            layout.padded_dims.1 == Int64((rows + width - 1) / width * width),
            Int(b.strides.0) % perWord == 0, Int(b.strides.1) % perWord == 0
        else { return nil }
        return WordBlocks(
            width: width, outputStride: Int(b.strides.1) / perWord, inputStride: Int(b.strides.0) / perWord)
    }

    /// Copies weights from row-major `plain`, `[rows, columns]` in this shape's type, into `packed`.
    func reorder(from plain: UnsafeMutableRawPointer, to packed: UnsafeMutableRawPointer) throws(KernelError)
    {
        let engine = unsafe streams.engine
        var from = dnnl_memory_desc_t()
        var to = layout
        try check(
            unsafe dnnl_memory_desc_init_by_strides(
                &from, 2, [Int64(columns), Int64(rows)], type, [1, Int64(columns)]), "describe weights")
        var description: dnnl_primitive_desc_t?
        try check(
            unsafe dnnl_reorder_primitive_desc_create(&description, &from, engine, &to, engine, nil),
            "pack weights")
        defer { unsafe _ = dnnl_primitive_desc_destroy(description) }
        var primitive: dnnl_primitive_t?
        try check(unsafe dnnl_primitive_create(&primitive, description), "pack weights")
        defer { unsafe _ = dnnl_primitive_destroy(primitive) }
        let source = unsafe try Memory(from, engine, plain)
        let target = unsafe try Memory(to, engine, packed)
        let arguments = unsafe [
            dnnl_exec_arg_t(arg: DNNL_ARG_FROM, memory: source.handle),
            dnnl_exec_arg_t(arg: DNNL_ARG_TO, memory: target.handle),
        ]
        try check(unsafe dnnl_primitive_execute(primitive, streams.stream(0), 2, arguments), "pack weights")
        try check(unsafe dnnl_stream_wait(streams.stream(0)), "pack weights")
    }

    private func product(m: Int, accumulate: Bool) throws(KernelError) -> Product {
        try products.withLock { products throws(KernelError) in
            let key = Key(m: m, accumulate: accumulate)
            if let known = products[key] { return known }
            let made = unsafe try Product(
                m: m, rows: rows, columns: columns, type: type, weights: layout, accumulate: accumulate,
                engine: streams.engine)
            products[key] = made
            return made
        }
    }

    /// y `[m, rows]` (+)= x `[m, columns]` in this shape's type, times the packed weights transposed. `m` is one of
    /// `pieces`.
    func multiply(
        m: Int, x: UnsafeMutableRawPointer, weights: UnsafeMutableRawPointer, y: UnsafeMutablePointer<Float>,
        accumulate: Bool, thread: Int, scratch: ThreadScratch
    ) throws(KernelError) {
        let product = try product(m: m, accumulate: accumulate)
        let engine = unsafe streams.engine
        let working = unsafe scratch.memory(.oneDNN, thread: thread, bytes: product.scratchpadBytes)
        let x = unsafe try Memory(product.x, engine, x)
        let w = unsafe try Memory(product.weights, engine, weights)
        let y = unsafe try Memory(product.y, engine, y)
        let s = unsafe try Memory(product.scratchpad, engine, working)
        let arguments = unsafe [
            dnnl_exec_arg_t(arg: DNNL_ARG_SRC, memory: x.handle),
            dnnl_exec_arg_t(arg: DNNL_ARG_WEIGHTS, memory: w.handle),
            dnnl_exec_arg_t(arg: DNNL_ARG_DST, memory: y.handle),
            dnnl_exec_arg_t(arg: DNNL_ARG_SCRATCHPAD, memory: s.handle),
        ]
        let stream = unsafe streams.stream(thread)
        try check(unsafe dnnl_primitive_execute(product.primitive, stream, 4, arguments), "multiply")
        try check(unsafe dnnl_stream_wait(stream), "multiply")
    }
}
