"""How a step runs its SQL: the files of its own folder, in the order of their names."""

from pathlib import Path

from alembic import op

SQL = Path(__file__).with_name("sql")


def run(step: str) -> None:
    """Runs `sql/<step>/*.sql` in the migration's transaction. A file may hold many statements."""
    connection = op.get_bind()
    connection.exec_driver_sql("SELECT 1")  # the driver begins the transaction with its first statement
    driver = connection.connection.dbapi_connection
    assert driver is not None
    for file in sorted((SQL / step).glob("*.sql")):
        text = file.read_text(encoding="utf-8")
        driver.run_async(lambda raw, text=text: raw.execute(text))
