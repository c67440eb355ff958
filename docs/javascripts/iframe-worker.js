// Browsers start no worker from file://, and search runs in one. There it gets a hidden frame.
if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget { // by this name the theme's script tells a frame
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      const inside = frame.contentWindow
      this.ready = new Promise(done => {
        inside.document.open()
        inside.document.write(`<script src="${url}"></script>`)
        inside.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
        inside.onload = () => done(inside)
        inside.document.close()
      })
    }

    postMessage(data) {
      this.ready.then(inside => inside.dispatchEvent(new MessageEvent("message", { data })))
    }
  }
  window.Worker = window.IFrameWorker
}
