import logging

from workshop.generative_models.tracking.callbacks import Callback, checked


def test_a_method_that_the_trainer_never_calls_is_named(caplog):
    class Keras(Callback):
        def on_epoch_end(self, epoch):
            pass

    class Fine(Callback):
        def on_row(self, row):
            pass

    with caplog.at_level(logging.WARNING, logger="workshop"):
        assert len(checked([Fine(), Keras()])) == 2
    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith("callbacks[1]: Keras.on_epoch_end is never called; the trainer calls")
    assert "on_row" in message
