// The search of these pages runs in a worker, which browsers refuse to a page opened by a double click (file:). There a
// hidden frame takes its place; from a server nothing is changed. The theme would fetch such a script from elsewhere.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      const inside = this.frame.contentWindow;
      inside.postMessage = (data) => this.deliver(structuredClone(data), (event) => this.onmessage?.(event));
      const script = inside.document.createElement("script");
      script.src = url;
      this.ready = new Promise((resolve) => script.addEventListener("load", resolve));
      script.addEventListener("error", (event) => this.onerror?.(event));
      inside.document.body.append(script);
    }
    postMessage(data) {
      const copy = structuredClone(data); // as between threads: neither side sees what the other does to it
      this.ready.then(() => this.deliver(copy, (event) => this.frame.contentWindow?.onmessage(event)));
    }
    deliver(data, receive) {
      setTimeout(() => receive({ data }));
    }
    terminate() {
      this.frame.remove();
    }
  };
}
