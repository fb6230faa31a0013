// What piscina loads: by require, if it can. Of an ECMAScript module that is a risk to the host: where a thread is ended while it requires one, Node 20
// ends the process ("v8::Module::IsGraphAsync must be used on an instantiated module"). Where it is ended while it imports one, only the thread ends.
const handle = import("./worker.js").then((worker) => worker.default);

module.exports = { handle };
